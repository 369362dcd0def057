"""LlamaIndex inside a step. Serve it with: noria serve app.py

LlamaIndex splits, ranks and puts the answer together; the models behind it are noria's, in process.
"""

import functools
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata

from noria import App, Model, step

app = App("llama", model="writer", budget="2 USD/day")
vectors = Model("local:minilm")


class NoriaLLM(CustomLLM):
    """A model of noria's as LlamaIndex wants one."""

    model: Any

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model.name)

    async def acomplete(self, prompt: str, *_: Any, **__: Any) -> CompletionResponse:
        return CompletionResponse(text=await self.model.ask("", question=prompt))

    def complete(self, prompt: str, *_: Any, **__: Any) -> CompletionResponse:
        return CompletionResponse(text=self.model.ask_sync("", question=prompt))

    def stream_complete(self, prompt: str, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("this example does not stream")


class NoriaEmbedding(BaseEmbedding):
    """An embedding model of noria's as LlamaIndex wants one."""

    model: Any

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await self.model.embed(text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self.model.embed(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        raise NotImplementedError("this example awaits")

    def _get_query_embedding(self, query: str) -> list[float]:
        raise NotImplementedError("this example awaits")


FACTS = [
    "A noria is a wheel that a stream turns and that lifts water into an aqueduct.",
    "The norias of Hama stand on the river Orontes; the largest is 20 metres wide.",
    "A shadoof lifts water with a lever and a counterweight.",
]


@functools.cache
def index() -> VectorStoreIndex:
    """The facts, embedded when the first question comes."""
    return VectorStoreIndex([], embed_model=NoriaEmbedding(model=vectors))


@step
async def look_up(question: str) -> str:
    """Retrieval and answer, as LlamaIndex writes them."""
    if not index().index_struct.nodes_dict:
        nodes = [Document(text=fact) for fact in FACTS]
        await index().ainsert_nodes(nodes)
    engine = index().as_query_engine(llm=NoriaLLM(model=app.model), similarity_top_k=1)
    return str(await engine.aquery(question))


@app.chat
async def answer(question: str) -> str:
    """Answers from three facts about wheels."""
    return await look_up(question)
