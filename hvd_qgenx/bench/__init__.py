"""How fast the codecs and the exchanges are, on this machine; see ``hvd-qgenx bench``."""
