//! `BASALT_IMAGE_DIR=out/base/1 cargo test --release -p build-tests -- --test-threads=1`, as root.

mod asked;
mod hindered;
mod killed;
mod same;
