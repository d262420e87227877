# What a run holds while it is at work, and says when it stops before its end.
import resume

# In the Snakefile's globals, so that it is held until the process ends.
AT_WORK = []


onstart:
    try:
        AT_WORK.append(resume.hold())
    except resume.AtWorkError as error:
        raise WorkflowError(str(error))
    except OSError as error:
        print(f"make resume will not see this run: {error}")


onerror:
    print(
        "Not everything was made. What is finished stays, and trainings go on from their last checkpoint: mend what is "
        "named above, if anything is, and give the same command again."
    )
