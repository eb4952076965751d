"""Networks (nn.Module), nothing else.

channel_gate.py              gated attention over channels, of the hierarchical transformer
cnn_attention_bilstm.py      CNN-Attention-BiLSTM, as released and without the padding shortcut
convolution.py               convolutions that leave padding out
differential_attention.py    attention by one softmax or two, of the hierarchical transformer
heads.py                     linear and attention heads on an encoder
hierarchical_transformer.py  the hierarchical transformer, 3stageFormer
hybrid.py                    gated fusion of an encoder and LASAN
lasan.py                     LASAN: one CNN for all leads, attention between leads, weights of leads
lead_convolutions.py         convolutions that keep leads apart, of the hierarchical transformer
outputs.py                   outputs of every classifier
settings.py                  sizes and switches of the networks
"""
