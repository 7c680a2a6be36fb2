# syntax=docker/dockerfile:1
# The client. Build from the root of the repository: docker build -f docker/client.Dockerfile -t sereno-client .

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-trixie AS build
WORKDIR /src
COPY . .
# Cached folders are not part of the image, so the program is copied out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package sereno --bin sereno \
    && cp target/release/sereno /usr/local/bin/sereno

FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /usr/local/bin/sereno /usr/local/bin/sereno
USER 65532:65532
ENV SERENO_SERVER=server:5678
# A client runs one command and ends: its exit code tells how it went, and there is no health to check.
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/sereno"]
CMD ["--help"]
