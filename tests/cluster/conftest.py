"""How much of the small pipeline is run on SLURM."""


def pytest_addoption(parser):
    parser.addoption("--some-figures", action="store_true", help="one of each kind alone: for a first look, and CI")
