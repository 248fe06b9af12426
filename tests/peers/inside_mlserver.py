"""Runtimes of MLServer, loaded by it inside its own environment: pictures by its Base64Codec, and words by its StringCodec."""

import numpy as np
from inside_grid_model import grid_vector, word_vector
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Pictures(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        files = self.decode(payload.inputs[0], default_codec=Base64Codec)
        return self.answer(np.stack([grid_vector(file) for file in files]))

    def answer(self, vectors: "np.ndarray") -> InferenceResponse:
        output = NumpyCodec.encode_output("embedding", vectors.astype(np.float32))
        return InferenceResponse(model_name=self.name, outputs=[output])


class Words(Pictures):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = self.decode(payload.inputs[0], default_codec=StringCodec)
        return self.answer(np.stack([word_vector(text) for text in texts]))
