#!/bin/bash
# render.sh "2.3. Name": pages (PNG) and figures of the executed notebook into /work/review/<name>/
set -e
name="$1"; out="/work/review/$name"; rm -rf "$out"; mkdir -p "$out"
cd /work/main
.venv/bin/python - "$name" "$out" <<'P'
import sys, json, base64, pathlib
name, out = sys.argv[1], pathlib.Path(sys.argv[2])
nb = json.load(open(f"notebooks/{name}.ipynb"))
n=0
from PIL import Image; import io
text=[]
for i,c in enumerate(nb["cells"]):
    text.append(f"--- [{i}] {c['cell_type']} {c['metadata'].get('tags','')}\n{''.join(c['source'])}")
    for o in c.get("outputs", []):
        d=o.get("data",{})
        if o.get("name"): text.append(f">>> {o['name']}: {''.join(o['text'])}")
        for k,v in d.items():
            if k.startswith("image/"):
                v="".join(v) if isinstance(v,list) else v
                if k=="image/svg+xml": (out/f"fig{i:02d}.svg").write_text(v); continue
                Image.open(io.BytesIO(base64.b64decode(v))).convert("RGB").save(out/f"fig{i:02d}_{n}.png"); n+=1
                text.append(f">>> [picture fig{i:02d}]")
            elif k=="text/plain" and not any(x.startswith("image") for x in d): text.append(">>> "+("".join(v)))
            elif k=="text/html":
                import re
                h=re.sub(r"base64,[A-Za-z0-9+/=\s]+","base64",("".join(v))); text.append(">>> html "+h[:600])
(out/"text.txt").write_text("\n".join(text))
print(n,"figures", out)
P
