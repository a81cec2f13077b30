# driftline as an image. Build: docker build -t driftline .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain* ./
COPY src src
COPY schemas schemas
COPY examples examples
COPY data data
COPY benches benches
RUN cargo build --release --locked --features tls-vendored --bin driftline

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/driftline /usr/local/bin/driftline
USER 65532
# the configuration must say `http: { listen: "0.0.0.0:9464" }`, or nobody outside of the container reaches it
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/driftline"]
CMD ["run", "-c", "/etc/driftline/driftline.yaml"]
