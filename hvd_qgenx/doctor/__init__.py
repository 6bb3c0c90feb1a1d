"""What ails an installation, and what pays off on the links there are; see ``hvd-qgenx doctor``."""
