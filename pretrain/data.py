"""Corpora of a run: what it trains on, in its order, and what it is validated on."""

import numpy as np

from lamae.batches.dataset import Split
from lamae.batches.mixture import Deal, Mixture, Walk
from lamae.batches.order import make_order
from lamae.storage.corpus import Corpus
from pretrain.settings import PretrainSettings


class Corpora:
    """The corpora that a run trains on, one or several with their weights."""

    def __init__(self, settings: PretrainSettings) -> None:
        """Open them; raises InputError where one cannot be read, or has no train or val split."""
        self._shares = settings.shares
        corpora = [Corpus(share.data, **settings.caching) for share in self._shares]
        self.first = corpora[0]
        """The corpus that is named first: the one of pictures, and of the probe by default."""
        train, val = (
            [
                Split(corpus, corpus.rows(name), settings.preprocess, replace_unusable=True)
                for corpus in corpora
            ]
            for name in ("train", "val")
        )
        self.names = tuple(share.named for share in self._shares)
        """Names by which logs tell them apart."""
        self.train = train[0] if len(train) == 1 else Mixture(train, self.names)
        """Recordings to train on."""
        self.val = tuple(val)
        """Validation split of each corpus."""
        weights = np.array([share.weight for share in self._shares])
        self.weights = tuple((weights / weights.sum()).tolist())
        """Share of each in a batch."""

    @property
    def digest(self) -> str:
        """Digest of the content: of several, the weight and the digest of each in their order."""
        digests = [split.corpus.digest for split in self.val]
        if len(digests) == 1:
            return digests[0]
        weighted = zip(self._shares, digests, strict=True)
        return ", ".join(
            f"{str(share.weight).removesuffix('.0')} x {digest}" for share, digest in weighted
        )

    def summary(self, recordings_read: int) -> dict[str, object]:
        """Return counts of recordings and epochs, in all and by corpus where there are several."""
        train = self.train.splits if isinstance(self.train, Mixture) else (self.train,)
        found: dict[str, object] = {
            "counts": {"train": len(self.train), "val": sum(map(len, self.val))},
            "epochs": recordings_read / len(self.train),
        }
        if len(train) > 1:
            found["corpora"] = {
                name: {
                    "data": split.place,
                    "digest": split.corpus.digest,
                    "share": weight,
                    "train": len(split),
                    "val": len(val),
                    "epochs": recordings_read * weight / len(split),
                }
                for name, weight, split, val in zip(
                    self.names, self.weights, train, self.val, strict=True
                )
            }
        return found


def training_walk(settings: PretrainSettings, data: Split | Mixture) -> Walk:
    """Return the order in which a run trains on a split, or on those of a mixture."""
    splits = data.splits if isinstance(data, Mixture) else (data,)
    orders = [
        make_order(
            settings.order,
            split.corpus.shard_codes()[0][split.rows],
            seed=settings.seed,
            window=settings.block_shards,
            stream=number,
        )
        for number, split in enumerate(splits)
    ]
    weights = [share.weight for share in settings.shares]
    if not isinstance(data, Mixture):
        return Walk(data, orders)
    return Walk(data, orders, Deal(weights, size=settings.batch_size, seed=settings.seed))
