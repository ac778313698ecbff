"""Failure prediction: which score tells a classifier's right answers from its wrong ones.

A row imports only rows below it:

    __main__                                     the command line
    registering                                  models in MLflow's registry
    packing                                      what a served model needs
    scores       checkpoints     report  showing  serving  a confidence score a file; released networks; all side by side; scores in use
    page                                         the comparison to open in a browser
    verdicts     charts          failures  markup  in words; as charts; where classifiers fail; Markdown as HTML
    run          training        published  differences  usage  what a score may use; the trainings; others' results; intervals; in use
    artifacts    fitting         comparison  places  curves  sampling  ensembles  networks on disk; the loop; tables; what is stored
    inference    evaluation      plots  operating  networks over a split; a score judged; figures from arrays; a score in use
    batches      tracking        sending  resume  calibration  images as fed; MLflow; kept runs; interrupted trainings; probabilities
    datasets     models          losses  metrics  device  progress  _mlflow_run  _mlflow_model  _workspace  flat_minima  splits
    params       listing         _mlflow_header  _dvc_outputs  params.yaml; what it can name; what MLflow and DVC know of a stage
    recipes                                      how networks are trained
    data         fitted          _typed  revision  probabilities  records  _mlflow_open  images; values; code; softmax; runs kept, open
    files        registry        _mlflow_store  _mlflow_entries  _termination  (registry looks the families up at run time)
"""
