# syntax=docker/dockerfile:1
#
#   scripts/image                              the static binary, and the image around it (docs/image.md)
#   docker build -t hookgate .                 the same without Rust on this machine; needs BuildKit. The labels of version and
#                                              commit are those of --build-arg VERSION=... and REVISION=..., else "unknown"
#   docker build --target files --output . .   only the binary, and the list of what is in it
#
# The image holds one static binary and a folder for the store: no shell, no libc, no root.

FROM scratch AS base
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hookgate" \
      org.opencontainers.image.description="Verifies, deduplicates, stores and forwards webhooks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
USER 65532:65532
# Senders, and `ops.listen` where that is set. `admin.listen` is loopback: its port is nobody else's.
EXPOSE 8080 9600
# Asks `/readyz` at HOOKGATE_ADMIN, else 127.0.0.1:9090, the default of `admin.listen`. Opening a large store
# may take a while. Kubernetes has probes of its own and does not look at this.
HEALTHCHECK --interval=10s --timeout=6s --start-period=120s --retries=3 CMD ["/hookgate", "healthcheck"]
ENTRYPOINT ["/hookgate"]
CMD ["run"]

# From a folder with the binary and an empty `data/hookgate`, as scripts/image makes it.
FROM base AS prebuilt
# A new volume mounted there takes over this owner, so the store can be created in it.
COPY --chown=65532:65532 data /var/lib
COPY hookgate /hookgate
# A relative `store.path`, such as the default, is in here.
WORKDIR /var/lib/hookgate

FROM rust:1.95.0-slim-bookworm AS build
# The image's own toolchain, whatever rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install cargo-auditable@0.7.7 cargo-cyclonedx@0.5.9 --locked --debug --quiet
WORKDIR /src
COPY . .
ARG SOURCE_DATE_EPOCH=0
# Downloads and compiled dependencies stay in caches, so an edit compiles only this package. Cargo goes by times, and the cache
# may hold what a newer tree was built into: with the time of now all files here are newer. One build at a time has it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + && \
    scripts/image binary && cp -a target/image /image

FROM scratch AS files
COPY --from=build /image/hookgate /image/hookgate.cdx.json /

FROM base
COPY --from=build --chown=65532:65532 /image/data /var/lib
COPY --from=build /image/hookgate /hookgate
WORKDIR /var/lib/hookgate
