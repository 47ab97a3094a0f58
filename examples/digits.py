"""Trains a classifier of handwritten digits, twice, and tracks both runs.

    python examples/digits.py

The 1,797 images of 8 x 8 pixels ship with scikit-learn. Each run trains one epoch after the other
with its own learning rate and logs the training loss and the validation accuracy of each epoch, and
every tenth epoch the confusion matrix.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import train_test_split

import afnio_tellurio as te

EPOCHS = 40
LEARNING_RATES = [0.0001, 0.01]
DIGITS = list(range(10))


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.3, random_state=0, stratify=labels)
    for learning_rate in LEARNING_RATES:
        description = f"logistic regression by SGD, learning rate {learning_rate}"
        with te.init("demo", "Digits", f"lr_{learning_rate}", description) as run:
            train(run, learning_rate, *split)


def train(
    run: te.Run,
    learning_rate: float,
    train_images: np.ndarray,
    validation_images: np.ndarray,
    train_labels: np.ndarray,
    validation_labels: np.ndarray,
) -> None:
    """Trains for EPOCHS epochs and logs each."""
    model = SGDClassifier(
        loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=0
    )
    shuffle = np.random.default_rng(0)
    for epoch in range(EPOCHS):
        order = shuffle.permutation(len(train_labels))
        model.partial_fit(train_images[order], train_labels[order], classes=DIGITS)
        predicted = model.predict(validation_images)
        loss = log_loss(train_labels, model.predict_proba(train_images), labels=DIGITS)
        run.log("train/loss", loss, step=epoch)
        run.log("validation/accuracy", accuracy_score(validation_labels, predicted), step=epoch)
        if (epoch + 1) % 10 == 0:
            matrix = confusion_matrix(validation_labels, predicted, labels=DIGITS)
            run.log("validation/confusion_matrix", matrix.tolist(), step=epoch)
    print(f"{run.name}: training loss {loss:.3f} after {EPOCHS} epochs")


if __name__ == "__main__":
    main()
