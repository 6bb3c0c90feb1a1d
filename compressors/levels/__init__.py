"""Level sets: where a quantizer puts its levels, what they cost, and how to choose them.

A level set is a 1-D float64 array of magnitudes in [0, 1], strictly increasing, ending with 1, each
representable in float32. A coordinate v_i of a bucket v is sent as one of +-||v||_q times a level,
drawn so that its expectation is v_i. A set for b bits has 2^(b-1) magnitudes. The usual set begins
with 0; a set *without zero* begins above, and then values between its least level and the opposite
of that go to one of these two.

Sources: Faghri et al., "Adaptive Gradient Quantization for Data-Parallel SGD" (NeurIPS 2020);
Ramezani-Kebrya et al., "Distributed Extra-gradient with Optimal Complexity and Communication
Guarantees" (Q-GenX, ICLR 2023), section 3.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
