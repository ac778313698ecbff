"""Failure prediction: which score tells a classifier's right answers from its wrong ones.

A row imports only rows below it:

    __main__                                     the command line
    scores       checkpoints     report  showing  one confidence score a file; networks released elsewhere; all side by side, in a terminal
    page                                         the comparison to open in a browser
    verdicts     charts          failures  markup  in words; as charts; where classifiers fail; Markdown as HTML
    run          training        published  differences  usage  what a score may use; the trainings; others' results; intervals; in use
    artifacts    fitting         comparison  places  curves  sampling  ensembles  networks on disk; the loop; tables; what is stored
    inference    evaluation      plots  operating  networks over a split; a score judged; figures from arrays; a score in use
    batches      tracking        sending  resume  calibration  images as fed; MLflow; kept runs; interrupted trainings; probabilities
    datasets     models          losses  metrics  device  progress  _mlflow_run  _workspace  flat_minima  splits
    params       listing                         params.yaml; what it can name
    recipes                                      how networks are trained
    data         _typed          revision  probabilities  records  prepared images; checked values; which code; softmax; runs kept
    files        registry        _mlflow_store   (registry looks the families up at run time)
"""
