# docker build -t confidnet . && docker run --rm -it confidnet            (the study)
# docker run --rm confidnet make test                                    (the tests)
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /project
COPY requirements.txt Makefile ./
RUN make .venv/.ready
COPY . .
RUN .venv/bin/python -m pip install --quiet --no-deps --editable .
# DVC wants a repository; a build context without .git gets one.
RUN git config --global --add safe.directory /project \
    && git config --global user.name confidnet && git config --global user.email confidnet@localhost \
    && (git rev-parse --git-dir || (git init --quiet && git add --all && git commit --quiet --message "Image"))
CMD ["make", "repro"]
