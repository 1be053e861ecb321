"""Methods of finding solutions, each as a training of the base setting's networks at one budget.

The budget is M times that of one of the base setting's optima, counted in epochs of gradients; M is the number of an
ensemble's members. Every method starts from its own initialisation. Independent solutions need no training of their
own: they are M of the base setting's optima.
"""


def gradient_epochs(training: dict) -> int:
    """Return the epochs of gradients that a training takes: in one, each training example has one gradient.

    A sharpness-aware step takes two gradients; a training's first `plain_epochs` take none of these steps.
    """
    epochs = training["epochs"]
    return 2 * epochs - training.get("plain_epochs", 0) if training["sharpness_radius"] else epochs


def at_equal_budget(training: dict, ensembles: dict) -> dict[str, dict]:
    """Return what each method changes in the base setting's training.

    - `longer`: one solution, trained for the whole budget.
    - `sam`: the same with sharpness-aware minimisation (Foret et al. 2021). Each step takes two gradients, so there are
      half as many; of an odd number of epochs the first is an ordinary one.
    - `swa`: stochastic weight averaging (Izmailov et al. 2018): the usual schedule for the first part of the budget,
      then a constant rate, and the equal average of the iterates at the ends of these last epochs.
    - `snapshots`: M cosine cycles of E epochs, each of which ends at a rate of zero and yields a member (Huang et al.
      2017).
    - `fge`: fast geometric ensembling (Garipov et al. 2018): the usual schedule for the first part, then M short
      triangular cycles. Each yields a member at its end, where the rate is lowest, and above zero.

    `last` and `plain_epochs` are no keys of the config: only methods have them (`train.recipe_of`).

    Args:
        training: the base setting's section of the config, complete.
        ensembles: that section of the config.

    Returns:
        Method -> key of `training` -> its value.
    """
    members, epochs = ensembles["members"], training["epochs"]
    whole, gradients = members * epochs, members * gradient_epochs(training)
    last = max(1, round(ensembles["last_fraction"] * whole))
    high, low = ensembles["high_rate"], ensembles["low_rate"]

    def ending(lowest: float) -> dict:
        end = {"epochs": last, "cycles": members, "rates": [lowest, high]}
        return {"epochs": whole, "snapshot_epochs": epochs, "average_epochs": None, "last": end}

    return {
        "longer": {"epochs": whole, "snapshot_epochs": None},
        "sam": {
            "epochs": (gradients + 1) // 2,
            "plain_epochs": gradients % 2,
            "snapshot_epochs": None,
            "sharpness_radius": ensembles["sharpness_radius"],
        },
        "swa": ending(high) | {"average_epochs": last},
        "snapshots": {
            "epochs": whole,
            "snapshot_epochs": epochs,
            "average_epochs": None,
            "schedule": "cyclic_cosine",
            "cycles": members,
        },
        "fge": ending(low),
    }
