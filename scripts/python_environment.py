"""The interpreter that comparisons with Python packages run in: PyTorch, of the
same version as the LibTorch that rattn is built with, and transformers, in an
environment of their own in the user's cache folder (2.6 GB, made once; all
versions are pinned).
"""
import hashlib
import os
import pathlib
import subprocess
import sys

# torch pins its CUDA packages itself, which its library must find even where
# there is no GPU.
PINS = ["torch==2.11.0", "numpy==2.4.6", "sympy==1.14.0", "networkx==3.6.1",
        "jinja2==3.1.6", "fsspec==2026.9.0", "filelock==4.2.12",
        "typing-extensions==4.16.0", "mpmath==1.3.0", "markupsafe==3.0.4",
        "triton==3.6.0", "cuda-bindings==13.5.0", "cuda-pathfinder==1.9.0",
        "setuptools==65.5.0",
        "transformers==4.57.1", "tokenizers==0.22.2", "safetensors==0.8.0",
        "huggingface-hub==0.36.2", "hf-xet==1.8.0", "regex==2026.5.9",
        "pyyaml==6.0.3", "requests==2.34.2", "tqdm==4.70.1", "packaging==26.3",
        "urllib3==2.7.0", "certifi==2026.5.20", "charset-normalizer==3.4.7",
        "idna==3.13"]


def environment():
    """The interpreter; makes its environment where it is missing."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                         pathlib.Path.home() / ".cache") / "rattn"
    key = hashlib.sha256(" ".join(PINS + [sys.version]).encode()).hexdigest()
    folder = cache / f"python-torch-{key[:12]}"
    python = folder / "bin/python"
    if not (folder / ".complete").exists():
        print(f"installing PyTorch and transformers into {folder} (once)",
              file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder],
                       check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet",
                        "--no-compile", "--no-cache-dir",
                        "--disable-pip-version-check", *PINS], check=True)
        (folder / ".complete").touch()
    return python


def run_inside():
    """Starts the calling script again with --inside in the environment."""
    python = environment()
    os.execv(python, [str(python), sys.argv[0], "--inside", *sys.argv[1:]])
