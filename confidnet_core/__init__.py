"""Failure prediction: which score tells a classifier's right answers from its wrong ones.

A row imports only rows below it:

    scores       checkpoints     report          one confidence score a file; networks released elsewhere; everything side by side
    page                                         the comparison to open in a browser
    verdicts     charts          failures  markup  in words; as charts; where classifiers fail; Markdown as HTML
    run          training        published  differences  usage  what a score may use; the trainings; others' results; intervals; in use
    artifacts    fitting         comparison  places  curves  sampling  ensembles  networks on disk; the loop; tables; what is stored
    inference    evaluation      plots  operating  networks over a split; a score judged; figures from arrays; a score in use
    batches      tracking        resume  calibration  images as networks are fed; MLflow; interrupted trainings; scores as probabilities
    datasets     models          losses  metrics  device  progress  _mlflow_store  flat_minima  splits
    params                                       params.yaml
    recipes                                      how networks are trained
    data         _typed          revision  probabilities  prepared images; checked values; which code this is; softmax without rounding
    files        registry                        (registry looks the families up at run time)
"""
