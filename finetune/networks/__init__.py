"""Networks (nn.Module), nothing else.

channel_gate.py              its classification by gated attention over channels
cnn_attention_bilstm.py      CNN-Attention-BiLSTM, as released and without the padding shortcut
convolution.py               convolutions that leave padding out
differential_attention.py    its attention, by one softmax or two
heads.py                     linear and attention heads on an encoder
hierarchical_transformer.py  the hierarchical transformer, 3stageFormer
hybrid.py                    gated fusion of an encoder and LASAN
lasan.py                     LASAN: one CNN for all leads, attention between leads, weights of leads
lead_convolutions.py         its convolutions, which keep leads apart
outputs.py                   what every classifier returns
settings.py                  sizes and switches of the networks
"""
