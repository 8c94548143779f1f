"""The MLP as a scikit-learn estimator, so that one cross-validation serves all competitors."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from section1_mlp.model import MLP
from section1_mlp.optimizer import SGD
from section1_mlp.training import train_steps
from shared_utils.seed import stream


class NumpyMLPRegressor(RegressorMixin, BaseEstimator):
    """One hidden layer of `width` tanh units, trained on the mean squared error by SGD.

    Expects features and target of mean 0 and deviation 1 (a StandardScaler's work). The same seed
    gives the same fit.
    """

    def __init__(self, width=32, weight_decay=1e-3, epochs=100, batch_size=32, lr=0.01, seed=0):
        self.width = width
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed

    def fit(self, x: np.ndarray, y: np.ndarray) -> "NumpyMLPRegressor":
        """Train a new network on x (N, features) and y (N,)."""
        sizes = (x.shape[1], self.width, 1)
        self.model_ = MLP(sizes, "tanh", "linear", rng=stream(self.seed, "init"), dtype=np.float64)
        for _ in train_steps(
            self.model_,
            SGD(self.lr, momentum=0.9, weight_decay=self.weight_decay),
            x,
            y[:, None],
            epochs=self.epochs,
            batch_size=self.batch_size,
            rng=stream(self.seed, "shuffle"),
        ):
            pass
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return predictions (N,)."""
        return self.model_.forward(x)[:, 0]
