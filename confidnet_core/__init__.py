"""Failure prediction: which score tells a classifier's right answers from its wrong ones.

A row imports only rows below it:

    __main__                                     the command line
    registering                                  models in MLflow's registry
    packing                                      what a served model needs
    scores       checkpoints     report  showing  serving  a confidence score a file; released networks; all side by side; scores in use
    page         timed_page                      the comparison to open in a browser; a copy of it with seconds
    verdicts     charts          failures  markup  costs  in words; as charts; where classifiers fail; Markdown as HTML; what a score costs
    run          training        published  differences  usage  what a score may use; the trainings; others' results; intervals; in use
    artifacts    fitting         comparison  places  curves  histories  sheets  sampling  ensembles  networks on disk; stored results
    inference    evaluation      plots  operating  networks over a split; a score judged; figures from arrays; a score in use
    batches      tracking        sending  timings  resume  calibration  images as fed; MLflow; kept runs; seconds; interrupted trainings
    datasets     models          losses  metrics  device  progress  flat_minima  splits
    _mlflow_run  _mlflow_model   _workspace      rows and models in MLflow; what DVC's temporary workspaces would lose
    params       listing         offline  _mlflow_header  _dvc_outputs  params.yaml; its names; a page for `dvc plots`; a stage's facts
    recipes                                      how networks are trained
    data         fitted          _typed  revision  probabilities  records  _mlflow_open  images; values; code; softmax; runs kept, open
    files        registry        _mlflow_store  _mlflow_entries  _termination  (registry looks the families up at run time)
"""
