# SPDX-License-Identifier: MIT
"""The paper's results: S. Basodi, K. Pusuluri, X. Xiao, Y. Pan, "Intelligent gradient amplification for deep neural
networks", arXiv:2305.18445. The columns are those of tools/report/report_tables.py."""

TITLE = "Basodi et al., Intelligent gradient amplification for deep neural networks, arXiv:2305.18445"
ADDRESS = "https://arxiv.org/abs/2305.18445"
COLUMNS = ("original", "random", "g-1", "g-2", "g-prime-1", "g-prime-2")

# Test accuracy in %. For amplified runs, it is that of the best threshold on the test set. Tables 3 and 4.
ACCURACY = {
    "cifar10": {
        "vgg19": (91.08, 93.35, 93.30, 92.92, 93.29, 93.34),
        "resnet18": (92.39, 94.57, 93.90, 93.76, 94.49, 94.10),
        "resnet34": (92.71, 94.39, 94.05, 93.89, 94.56, 94.14),
        "resnet50": (91.80, 92.68, 94.24, 94.43, 94.34, 94.02),
        "resnet101": (91.95, 93.04, 94.57, 94.54, 94.35, 94.70),
    },
    "cifar100": {
        "vgg19": (65.27, 66.52, 69.38, 68.50, 69.83, 69.25),
        "resnet18": (71.94, 72.70, 75.33, 75.41, 76.14, 75.35),
        "resnet34": (72.18, 73.02, 74.86, 75.59, 75.95, 75.90),
        "resnet50": (72.32, 73.05, 77.21, 77.43, 76.89, 76.97),
        "resnet101": (73.00, 73.72, 77.63, 77.51, 77.53, 77.63),
    },
}
ACCURACY_TABLE = {"cifar10": "Table 3", "cifar100": "Table 4"}

# Minutes for 150 epochs on one V100, as means of 10 runs. Tables 1 and 2. The paper has no times of random selection.
MINUTES = {
    "cifar10": {
        "vgg19": (31.35, None, 31.82, 31.94, 31.87, 31.82),
        "resnet18": (42.15, None, 42.79, 42.73, 42.96, 42.76),
        "resnet34": (66.35, None, 67.73, 67.64, 67.80, 67.68),
        "resnet50": (139.64, None, 139.71, 140.07, 140.63, 141.06),
        "resnet101": (224.22, None, 225.48, 226.37, 227.26, 227.78),
    },
    "cifar100": {
        "vgg19": (31.62, None, 32.55, 31.92, 32.16, 31.83),
        "resnet18": (42.08, None, 42.83, 42.24, 43.44, 42.19),
        "resnet34": (66.64, None, 67.00, 66.99, 69.84, 66.88),
        "resnet50": (139.32, None, 140.64, 140.21, 140.68, 140.79),
        "resnet101": (223.88, None, 226.35, 226.28, 225.09, 226.12),
    },
}
MINUTES_TABLE = {"cifar10": "Table 1", "cifar100": "Table 2"}


def figure(table, dataset, network, column):
    """The paper's number, or None if it has none. `table` is ACCURACY or MINUTES."""
    row = table.get(dataset, {}).get(network)
    return row[COLUMNS.index(column)] if row else None
