import sys, time; sys.path.insert(0,'/work/main/assets/recipes')
import torch, numpy as np, json
import transcriber as T, training as R
from transformers import set_seed
from pathlib import Path
from torch.nn.functional import cross_entropy
torch.set_num_threads(1); set_seed(0)
name,width,heads,lr,N,batch=sys.argv[1],int(sys.argv[2]),int(sys.argv[3]),float(sys.argv[4]),int(sys.argv[5]),int(sys.argv[6])
T.SECONDS_A_STEP=batch
B=Path('/work/main/training/transcriber')
src=T.corpus(B/'corpus','train',0)
tok=T.new_tokenizer([r[n] for r in src.rows for n in('text','english')])
T.WIDTH=width
cfg=T.configuration(tok)
cfg.encoder_attention_heads=cfg.decoder_attention_heads=heads
cfg.encoder_ffn_dim=int(width*3.34)//16*16; cfg.decoder_ffn_dim=int(width*2.67)//16*16
m=T.LearningTranscriber(cfg,len(src.phonemes),1+len(src.vocabulary))
opt=R.MuonAndAdamW(m,lr,1e-4)
bases=[g['lr'] for g in opt.param_groups]
data=T.Batches(src,tok,3200); 
T.EASY=10**9; ev=[T.Batches(src,tok,10**9)[10**6+i] for i in range(6)]; T.EASY=800
evs=[T.Batches(src,tok,3200)[10**4+i] for i in range(0)]
def evaluate():
    m.eval(); tk=[];ph=[]
    with torch.no_grad():
        for x in ev:
            o=m(**x); tk.append(float(o['tokens'])); ph.append(float(o['phonemes']))
    m.train(); return np.mean(tk),np.mean(ph)
t=time.process_time(); w=time.time()
for i in range(N):
    for g,b in zip(opt.param_groups,bases): g['lr']=b*min(1,(i+1)/100)
    o=m(**data[i]); opt.zero_grad(); o['loss'].backward(); torch.nn.utils.clip_grad_norm_(m.parameters(),1.0); opt.step()
    if i%50==49:
        e=evaluate()
        print(name,i+1,'tokens %.3f phonemes %.3f'%e, 'looks %.2f'%float(o['looks']), 'cpu',round(time.process_time()-t),'wall',round(time.time()-w),flush=True)
