# What a run holds while it is at work, and what it says at its end, or when it stops before.
import resume
from replication.training.checkpoints import training_status

# In the Snakefile's globals, so that it is held until the process ends.
AT_WORK = []


try:
    # Snakemake, which is about to refuse, names another way, which asks nobody.
    if workflow.is_main_process and resume.is_left_locked():
        print(
            "A Snakemake that is no more has left this folder locked: `make resume` unlocks it and goes on (docs/operations.md)."
        )
except OSError:
    pass


onstart:
    try:
        AT_WORK.append(resume.hold())
    except resume.AtWorkError as error:
        raise WorkflowError(str(error))
    except OSError as error:
        print(f"make resume will not see this run: {error}")


def say_what_diverged():
    """Name the trainings that diverged, as nothing else on the terminal does: they are results, not errors."""
    for experiment in config["experiments"]:
        for run in configuration.runs(config, experiment):
            trained = Path(RUN.format(experiment=experiment, run=run.name)) / "checkpoints"
            if training_status(trained) == "diverged":
                print(f"{experiment}/{run.name} diverged: see {LOGS}/train/{experiment}/{run.name}.log")


onsuccess:
    say_what_diverged()


onerror:
    say_what_diverged()
    print(
        "Not everything was made. What is finished stays, but for what was just being made again; trainings go on from "
        "their last checkpoint. Run what is named above, if a command is, or mend what is, and give the same command again."
    )
