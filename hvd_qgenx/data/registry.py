DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10", "celeba", "folder")
