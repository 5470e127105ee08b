"""A small net for the benchmarks."""

TOY_NET = (
    "--config=A",
    "--set=stages=",
    "--set=architecture.width=0.0625",
    "--set=architecture.crop=32",
    "--set=data.scale=32",
    "--batch=4",
    "--repeats=2",
)
