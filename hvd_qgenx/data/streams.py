"""Independent streams of random numbers: the word beside the seed in ``generator(seed, stream, ...)``."""

from enum import IntEnum


class RandomStream(IntEnum):
    """Names every use of randomness in a run, with the further words that select its numbers.

    A random number is a function of the seed, its stream and these words, so a run stores no random state. The
    numbers of the members are part of every run's bits: new ones go to the end.
    """

    ORDER = 0
    """The order of all images in an epoch; epoch."""
    LATENTS = 1
    """Latents that a GAN is trained on; rank, move."""
    INTERPOLATION = 2
    """Points where the gradient penalty is taken; rank, move."""
    SAMPLES = 3
    """Latents of sample pictures."""
    GENERATOR = 4
    """Initial weights of the generator."""
    DISCRIMINATOR = 5
    """Initial weights of the discriminator."""
    FLIP = 6
    """Images to mirror; draw."""
    SCORE = 7
    """Latents and labels of scored images; block."""
    NORMALIZATION = 8
    """Latents and labels that batch norm's statistics are estimated from."""
    CROP = 9
    """Offsets of random crops; draw."""
    SHARES = 10
    """The order in which samples are dealt to ranks that keep fixed shares."""
    SHARE_ORDER = 11
    """The order of a rank's fixed share in an epoch; rank, epoch."""
    DIRICHLET = 12
    """Proportions of a class over the ranks; class."""
    STATISTICS = 13
    """Images that a classifier's batch norm statistics are estimated from."""
    CLASSIFIER = 14
    """Initial weights of a classifier."""
    MINIBATCH = 15
    """Samples that a worker of a logistic regression draws; worker, block."""
    COIN = 16
    """Coins of L-SVRG, which all workers share; block."""
    ROUNDING = 17
    """Random rounding of a worker's vector in a logistic regression; worker, iteration."""
    LANGUAGE = 18
    """Initial weights of a language model."""
    MARKOV = 19
    """The transition probabilities of the Markov source, and its tokens; part."""
    DROPOUT = 20
    """Masks of dropout; rank, move."""
    CONTINUATION = 21
    """Tokens that continue a prompt."""
    AUTOENCODER = 22
    """Initial weights of an autoencoder."""
    POSTERIOR = 23
    """Noise of the codes that an autoencoder is trained on; move."""
    CODES = 24
    """Noise of the codes that an autoencoder is scored on; block."""
    DECODED = 25
    """Codes of an autoencoder's sample pictures."""
