"""What the function of a score can declare that it reads, by its attribute `reads`, beside the classifier and its predictions."""

NETWORKS = ("confidnet", "finetune", "corrected_mcp")  # a score that reads one of these gives the name of its folder
SAMPLES = "samples"
READABLE = (SAMPLES, *NETWORKS)


def check_read(method: str, reads: tuple[str, ...], word: str) -> None:
    """ValueError where a score reads what it does not declare: DVC would then keep a score of former inputs."""
    if word not in reads:
        given = ", ".join(f'"{name}"' for name in (*reads, word))
        raise ValueError(f"scores/{method}.py reads {word}, but does not declare it; write {method}.reads = ({given},)")
