"""Names of the inputs that a score can declare in its attribute `reads`, beside the classifier and its predictions."""

from confidnet_core.config.recipes import CONFIDENCE_NETWORKS

NETWORK_INPUTS = CONFIDENCE_NETWORKS  # a score that uses a network declares the name of its folder
DROPOUT_SAMPLES = "samples"  # quantities of forward passes with dropout, which the stage `sample` stores
READABLE_INPUTS = (DROPOUT_SAMPLES, *NETWORK_INPUTS)


def require_declared_input(method: str, declared_inputs: tuple[str, ...], input_name: str) -> None:
    """Raise ValueError if the score `method` uses the input `input_name` without declaring it in its attribute `reads`.

    DVC reruns a score only where its declared inputs changed; it would keep outdated values of this score.
    """
    if input_name not in declared_inputs:
        quoted_input_names = ", ".join(f'"{score_input_name}"' for score_input_name in (*declared_inputs, input_name))
        raise ValueError(f"scores/{method}.py reads {input_name}, but does not declare it; write {method}.reads = ({quoted_input_names},)")
