"""Names of the inputs that a score can declare in its attribute `reads`, beside the classifier and its predictions."""

NETWORKS = ("confidnet", "finetune", "corrected_mcp")  # a score that uses a network declares the name of its folder
SAMPLES = "samples"
READABLE = (SAMPLES, *NETWORKS)


def require_declared(method: str, reads: tuple[str, ...], name: str) -> None:
    """Raise ValueError if the score reads an input that it does not declare: DVC would then keep outdated values of the score."""
    if name not in reads:
        quoted_inputs = ", ".join(f'"{input_name}"' for input_name in (*reads, name))
        raise ValueError(f"scores/{method}.py reads {name}, but does not declare it; write {method}.reads = ({quoted_inputs},)")
