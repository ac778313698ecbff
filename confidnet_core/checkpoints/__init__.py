"""Import of the authors' released checkpoints as networks in the format of the training stages.

Corbière et al. 2019, arXiv:1910.04851. A .ckpt is a pickle of PyTorch 1.1 with `model_state_dict`.
"""
