import sys, torch, numpy as np
sys.path.insert(0,'/work/main/assets/recipes')
from pathlib import Path
import transcriber as T
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
torch.set_num_threads(1)
build=Path('/work/main/training/transcriber')
src=T.corpus(build/'corpus','train',0)
tok=T.new_tokenizer([r[n] for r in src.rows for n in('text','english')])
ck=sorted(build.glob('checkpoint-*'),key=lambda p:int(p.name.split('-')[1]))[-1]
m=T.LearningTranscriber(T.configuration(tok),len(src.phonemes),1+len(src.vocabulary))
print(ck.name, m.load_state_dict(load_file(ck/'model.safetensors'),strict=False).missing_keys[:4])
m.eval()
b=T.Batches(src,tok,10)
T.WINDOWS={6:.5,10:.5}
ts0=tok.convert_tokens_to_ids('<|0.00|>')
with torch.no_grad():
  for i in (100001,100002,100003):
    x=b[i]
    h=m.model.encoder(x['input_features']).last_hidden_state
    w=m.model.decoder(input_ids=x['decoder_input_ids'],encoder_hidden_states=h,use_cache=False,output_attentions=True)
    lg=m.proj_out(w.last_hidden_state)
    lab=x['labels']
    ce=cross_entropy(lg.transpose(1,2),lab,ignore_index=-100,reduction='none')
    ok=lab>=0
    t=ok&(lab>=ts0); wd=ok&(lab<1600)
    print(i,x['input_features'].shape,'ts',ce[t].mean().item(),'words',ce[wd].mean().item())
    pf=m.phoneme_head(h).argmax(-1); print('phon acc', (pf==x['phonemes']).float()[x['phonemes']>0].mean().item())
    wf=m.word_head(h).argmax(-1); print('word acc', (wf==x['words']).float()[x['words']>0].mean().item())
    fr=torch.arange(h.shape[1])
    P=x['places']
    there=((fr>=P[...,:1]*50-3)&(fr<=P[...,1:]*50+3)).float(); known=P[...,1]>0
    tr=(x['decoder_input_ids']==tok.convert_tokens_to_ids('<|translate|>')).any(1)
    for L in (0,1):
      for H in range(4):
        a=w.cross_attentions[L][:,H]
        r=[]
        for after in (0,1):
          sh=(a*there[:,after:after+a.shape[1]]).sum(-1)
          k=known[:,after:after+a.shape[1]]
          kw=k&~tr[:,None]
          r.append(sh[kw].mean().item())
        print('layer',L,'head',H,'mass input/label %.2f %.2f'%tuple(r), end=' | ')
      print()
    for row in range(3):
      print('REF', tok.decode([v for v in lab[row].tolist() if v>=0],decode_with_timestamps=True)[:150])
      print('HYP', tok.decode(lg[row].argmax(-1)[lab[row]>=0].tolist(),decode_with_timestamps=True)[:150])
