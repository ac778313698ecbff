"""Shared code of the stages that fine-tune ConfidNet, as published and on changed images."""

from confidnet_core import paths
from confidnet_core.networks.artifacts import load_confidnet_head
from confidnet_core.training.job import TrainingJob
from confidnet_core.training.trainings import finetune_confidnet


def finetune_and_save(job: TrainingJob, network_name: str) -> None:
    """Fine-tune a copy of the encoder together with the head that was trained before, and write it as the network NETWORK_NAME."""
    classifier, training = job.load_classifier(), job.training
    head_folder = paths.network_folder(job.benchmark_name, training.seed, "confidnet")
    softmax_classes = len(training.dataset.classes) if training.recipe.reads_softmax else 0
    confidnet = load_confidnet_head(head_folder, classifier).finetuning_copy(softmax_classes)
    training_state = finetune_confidnet(confidnet, classifier, training)

    job.save(network_name, confidnet.state_dict(), training_state)
