"""Methods of finding solutions, each as a training of the base setting's networks at one budget.

The budget is M times E epochs of gradients, where E is the base setting's number of epochs and M the number of an
ensemble's members. Independent solutions need no training of their own: they are M of the base setting's optima.
"""

CONTINUED = ("swa", "snapshots", "fge")  # start from the base setting's optima, which have cost E epochs


def at_equal_budget(training: dict, ensembles: dict) -> dict[str, dict]:
    """Return what each method changes in the base setting's training.

    - `longer`: one solution, trained from its initialisation for the whole budget.
    - `sam`: the same with sharpness-aware minimisation (Foret et al. 2021). Each step takes two gradients, so there are
      half as many steps.
    - `swa`: stochastic weight averaging (Izmailov et al. 2018): a constant rate, and the equal average of the iterates
      at the ends of all epochs.
    - `snapshots`: cycles of E epochs, each of which ends at a rate of zero (Huang et al. 2017).
    - `fge`: fast geometric ensembling (Garipov et al. 2018): short triangular cycles. It keeps one member every E
      epochs, where the rate is lowest.

    Args:
        training: the base setting's section of the config, complete.
        ensembles: that section of the config.

    Returns:
        Method -> key of `training` -> its value.
    """
    epochs, members = training["epochs"], ensembles["members"]
    rest = (members - 1) * epochs
    continued = {"epochs": rest, "warmup_epochs": 0.0, "snapshot_epochs": epochs, "average_epochs": None}
    return {
        "longer": {"epochs": members * epochs, "snapshot_epochs": None},
        "sam": {
            "epochs": max(1, members * epochs // 2),
            "snapshot_epochs": None,
            "sharpness_radius": ensembles["sharpness_radius"],
        },
        "swa": continued
        | {
            "schedule": "constant",
            "learning_rate": ensembles["swa_rate"] * training["learning_rate"],
            "average_epochs": rest,
        },
        "snapshots": continued | {"schedule": "cyclic_cosine", "cycles": members - 1},
        "fge": continued
        | {"schedule": "triangular", "cycles": (members - 1) * max(1, round(epochs / ensembles["cycle_epochs"]))},
    }
