"""A studio with a tiny model, served on a free port."""

import contextlib
import threading

import pytest

import magvit_keras as mk
from magvit_keras.studio.server import StudioServer
from magvit_keras.studio.work import Studio


@pytest.fixture(scope="session")
def tiny():
    tokenizer = mk.VideoTokenizer(4, (1, 1, 1), (True, True), 1, embedding_dim=4, codebook_size=16, norm_groups=1)
    transformer = mk.MaskedTransformer(
        16, num_classes=3, latent_shape=(2, 4, 4), num_layers=1, hidden_size=16, num_heads=1, mlp_dim=16
    )
    return mk.Magvit(tokenizer, transformer, class_dropout=0.1)


@pytest.fixture(scope="session")
def opened():
    @contextlib.contextmanager
    def serve(magvit):
        server = StudioServer(studio=Studio(magvit, "tiny"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()

    return serve


@pytest.fixture(scope="session")
def server(opened, tiny):
    with opened(tiny) as server:
        yield server
