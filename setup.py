"""What pyproject.toml cannot say: data/ stands at the top and travels as quantlab.data."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["quantlab", "quantlab.*"]), "quantlab.data"],
    package_dir={"quantlab.data": "data"},
    package_data={
        "quantlab": ["py.typed"],
        "quantlab.ui": ["static/*"],
        "quantlab.data": ["**/*"],
    },
)
