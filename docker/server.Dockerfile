# syntax=docker/dockerfile:1
# The server. Build from the root of the repository: docker build -f docker/server.Dockerfile -t sereno-server .

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-trixie AS build
WORKDIR /src
COPY . .
# Cached folders are not part of the image, so the programs are copied out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package sereno \
    && mkdir --parents /out/data \
    && cp target/release/serenod target/release/sereno /out/

# The C library and nothing else: no shell, no package manager. Linked against glibc, not musl, for its allocator.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /out/serenod /out/sereno /usr/local/bin/
# A new volume takes over the owner of the folder that it is mounted on.
COPY --from=build --chown=65532:65532 /out/data /data
# The same places as in the repository, so that relative paths in the configuration mean the same.
COPY docker/server.yaml /etc/sereno/config/server.yaml
COPY config/rules /etc/sereno/config/rules
COPY scripts /etc/sereno/scripts
USER 65532:65532
VOLUME /data
EXPOSE 5678
# It answers, and what the machine tells about itself arrives. Override it where the input `host` is switched off.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/sereno", "info"]
ENTRYPOINT ["/usr/local/bin/serenod", "--config", "/etc/sereno/config/server.yaml"]
