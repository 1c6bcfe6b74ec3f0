"""Python environments for the peers: one a framework, from PyPI, in a cache folder. The standard library alone.

An environment that is complete has the file `installed`; one that is not is made anew. Everything that is run is printed
first.
"""
import os
import shlex
import shutil
import subprocess
import sys

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # where PyTorch has wheels without CUDA
VERSIONS = ("torch", "tensorflow", "tensorflow-cpu", "keras", "jax", "jaxlib", "numpy")


class Missing(Exception):
    """Why there is no environment, in one line."""


def attempts(framework, torch_index):
    """What pip is given, one after the other, until one succeeds."""
    if framework == "torch":
        cpu = ["--index-url", torch_index, "--retries", "0", "--timeout", "20", "torch", "numpy"]
        return [cpu] * (torch_index != "none") + [["torch", "numpy"]]
    return {"tensorflow": [["tensorflow-cpu"], ["tensorflow"]], "jax": [["jax"]]}[framework]


def say(command):
    print("+ " + shlex.join(command), file=sys.stderr, flush=True)


def attempt(command):
    """None, or the last line of what it said."""
    say(command)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return None if done.returncode == 0 else (errors or lines or [f"exit status {done.returncode}"])[-1]


def ensure(framework, cache, torch_index=TORCH_INDEX):
    """The environment's python."""
    folder = os.path.join(os.path.abspath(cache), framework)
    python, stamp = os.path.join(folder, "bin", "python"), os.path.join(folder, "installed")
    if os.path.exists(stamp):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"Installing {framework} and what it needs into {folder}; this happens once", file=sys.stderr)
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        why = attempt([sys.executable, "-m", "venv", folder])
    except OSError as error:
        why = str(error)
    if why:
        raise Missing(f"no virtual environment (Debian: apt install python3-venv): {why}")
    for packages in attempts(framework, torch_index):
        why = attempt([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        if not why:
            break
        print(f"  failed: {why}", file=sys.stderr)
    else:
        raise Missing(f"pip install failed: {why}")
    frozen = subprocess.run([python, "-m", "pip", "freeze"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    with open(stamp, "w") as f:
        f.writelines(line + "\n" for line in frozen if line.split("==")[0].replace("_", "-") in VERSIONS)
    return python
