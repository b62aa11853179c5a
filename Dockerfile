# Covey with all that it needs, for `covey run` in a mounted project.
# This file has not been built where it was written, since no Docker was at hand. If it fails, please tell.
#
#   docker build -t covey .
#   docker run --rm -it -v covey:/covey -v ~/photos:/photos:ro covey covey run --data /photos
#
# The volume /covey holds the project: code, params.yaml, data, results and checkpoints. A new, named volume begins as a
# copy of the image's. For GPUs: `docker run --gpus all`.
FROM python:3.11-slim

RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 covey \
 && mkdir /covey \
 && chown covey:covey /covey
USER covey
WORKDIR /covey

# What the environment is made of comes first: an edit of a method does not fetch torch again.
COPY --chown=covey:covey Makefile pyproject.toml covey.py requirements*.txt requirements*.in ./
COPY --chown=covey:covey flows flows
COPY --chown=covey:covey tasks tasks
COPY --chown=covey:covey ssl_models ssl_models
RUN make .venv/.ready

COPY --chown=covey:covey . .

# Stages are commits to DVC, which needs a repository of git; .dockerignore leaves the checkout's own out.
RUN git init --quiet \
 && git add --all \
 && git -c user.name=covey -c user.email=covey@localhost commit --quiet --message "As in the image"

ENV PATH=/covey/.venv/bin:$PATH \
    COVEY_DATA=/data
VOLUME /covey
CMD ["covey", "--help"]
