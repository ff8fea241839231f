# syntax=docker/dockerfile:1
#
#   docker build -t hookgate .                        from source (needs BuildKit)
#   docker build -t hookgate --target prebuilt .      from a static binary `hookgate` in this folder
#
# Either way the image holds one static binary and nothing else: no shell, no libc, no root.

FROM rust:1.95.0-slim-bookworm AS build
# The image's own toolchain, whatever rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0 RUSTFLAGS="-C target-feature=+crt-static"
WORKDIR /src
COPY . .
# Downloads and compiled dependencies stay in caches, so an edit compiles only this package.
# Naming the target keeps crt-static away from build scripts and proc macros.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(rustc --print host-tuple)" \
    && cargo build --release --locked --bin hookgate --target "$target" \
    && install -D -m 0755 "target/$target/release/hookgate" /image/hookgate \
    && install -d -m 0700 /image/data/hookgate

# Has no folder of its own for the store: set `store.path` to a mounted volume that user 65532 may write.
FROM scratch AS prebuilt
LABEL org.opencontainers.image.title="hookgate" \
      org.opencontainers.image.description="Verifies, deduplicates, stores and forwards webhooks" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY hookgate /hookgate
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/hookgate"]
CMD ["run"]

FROM scratch
LABEL org.opencontainers.image.title="hookgate" \
      org.opencontainers.image.description="Verifies, deduplicates, stores and forwards webhooks" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/hookgate /hookgate
# A new volume mounted here takes over this owner, so the store can be created in it. A relative
# `store.path`, such as the default, ends up in it too.
COPY --from=build --chown=65532:65532 /image/data /var/lib
WORKDIR /var/lib/hookgate
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/hookgate"]
CMD ["run"]
