"""The words by which people name parts of a set: training_set, Train Images, valid, holdout, seg_pred.

A word counts only where it stands alone or beside words that say nothing (`set`, `images`, a year). What it means beside its
neighbours (a class may be called `train`) is for the caller.
"""

from __future__ import annotations

import re
import unicodedata

WORDS = {
    "train": "train", "training": "train", "trn": "train", "tr": "train", "learn": "train", "trainval": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "validate": "validation", "dev": "validation",
    "eval": "validation", "evaluation": "validation", "development": "validation", "publictest": "validation",
    "test": "test", "testing": "test", "tst": "test", "holdout": "test", "heldout": "test", "privatetest": "test",
}  # fmt: skip
# The same words in other languages, without accents and with what is glued to them: only words that hardly mean anything else.
for _part, _words in {
    "train": "trainieren trainingsdaten trainingsdatensatz trainingsset trainingsbilder lerndaten entrainement apprentissage "
    "entrenamiento addestramento treino treinamento trainen trainingsgegevens тренировка обучение обучающая trening treningowe "
    "träning träningsdata opetus egitim 训练 训练集 訓練 訓練集 訓練データ 学習 学習用 훈련 학습",
    "validation": "validierung validierungsdaten validierungsset validacion validazione validacao validatie валидация "
    "валидационная walidacja walidacyjne validering validointi dogrulama 验证 验证集 驗證 驗證集 検証 検証用 검증",
    "test": "testdaten testdatensatz testset testbilder testen prueba pruebas essai collaudo teste testgegevens тест "
    "тестовая testowe testi 测试 测试集 測試 測試集 テスト テスト用 테스트",
}.items():
    WORDS |= dict.fromkeys(_words.split(), _part)
UNLABELLED = frozenset({"pred", "predict", "prediction", "predictions", "unlabelled", "unlabeled", "unlabel", "unlab"})
_NOISE = frozenset(
    {"set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "photo", "photos", "picture", "pictures",
     "pic", "pics", "seg", "split", "splits", "folder", "samples", "sample", "files", "file", "list", "lists", "labels", "label",
     "meta", "metadata", "annotations", "annotation", "classes", "class", "sagemaker", "csv", "df", "part", "new", "final",
     "all", "the", "of", "for", "cropped", "resized", "raw", "clean", "jpg", "jpeg", "png", "main", "info",
     "subset", "subsets", "fold", "folds"}
)  # fmt: skip
_GLUED = (
    "dataset",
    "data",
    "set",
    "images",
    "image",
    "imgs",
    "img",
    "photos",
    "pictures",
    "list",
    "split",
    "files",
    "labels",
)


def tokens(name: str) -> list[str]:
    """Words of a name in small letters: `Train Images2017` is train, images, 2017."""
    text = unicodedata.normalize("NFKC", name)
    text = re.sub(r"(?<=[a-z])(?=[A-Z](?:[a-z]|$))", " ", text).lower()
    return re.findall(r"[^\W\d_]+|\d+", text)


def split_of(name: str, ours: frozenset[str] = frozenset()) -> str | None:
    """train, validation or test where the name is that of a part; `ours`: further words that say nothing here."""
    left: list[str] = []
    for token in tokens(name):
        token = _unglued(token)
        if (
            token.isdigit() and len(token) <= 2
        ):  # Kaggle's test1, a second part of the photos; 01_train, only for the order
            continue
        if token in _NOISE or token in ours or (token.isdigit() and len(token) == 4 and token[:2] in ("19", "20")):
            continue
        left.append(token)
    joined = "".join(left)
    if joined in WORDS or (joined := _without_accents(joined)) in WORDS:
        return WORDS[joined]
    if left == ["train", "val"]:
        return "train"
    return None


def part_of_list(name: str) -> str | None:
    """The split that the name of a list says, whatever else it says: `ISIC_2019_Training_GroundTruth`, `flowers_test`."""
    if found := split_of(name):
        return found
    said = {WORDS[word] for token in tokens(name) if (word := _unglued(token)) in WORDS}
    return said.pop() if len(said) == 1 else None


def _without_accents(text: str) -> str:
    """`entraînement` as `entrainement`; only of Latin letters, since in Japanese a mark makes another letter."""
    parts = unicodedata.normalize("NFD", text)
    return "".join(c for c in parts if not "\u0300" <= c <= "\u036f")


def _unglued(token: str) -> str:
    """`trainset`, `testdata` and `valimages` without what is glued to them."""
    for end in _GLUED:
        if token.endswith(end) and token.removesuffix(end) in WORDS:
            return token.removesuffix(end)
    return token


def is_unlabelled(name: str) -> bool:
    """`seg_pred`, `unlabelled`, `unlabeled2017`: photos without labels."""
    return any(token in UNLABELLED for token in tokens(name)) and all(
        token in UNLABELLED or token in _NOISE or token.isdigit() for token in tokens(name)
    )


def says_nothing(name: str) -> bool:
    """`images`, `data`, `photos`: a folder that is there only to hold others."""
    return all(token in _NOISE for token in tokens(name)) and bool(tokens(name))
