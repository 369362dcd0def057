"""Real instrumentors over the real exporter: parents, tokens, costs and messages come out right."""

from __future__ import annotations

import openai
import pytest
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor

from noria.testing import Reply, ToolCall
from noria.types import SpanKind, Status, Usage
from noria.web.run.tree import grow
from tests.support.door import MODEL, NANO_PER_TOKEN

pytestmark = pytest.mark.filterwarnings("ignore")  # of the instrumentors about each other


@pytest.fixture
def client(door, secret):
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=secret, max_retries=0) as client:
        yield client


@pytest.fixture
def instrumented(tracer_provider):
    """OpenAI's client with OpenInference in it, under one span of the application."""
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider)
    yield tracer_provider.get_tracer("a program")
    instrumentor.uninstrument()


def test_calls_of_the_openai_client(instrumented, client, fake, told):
    fake.queue(Reply("Bonjour", usage=Usage(input_tokens=20, output_tokens=4, cached_tokens=8)))
    with instrumented.start_as_current_span("translate"):
        client.chat.completions.create(
            model=MODEL, temperature=0.5, messages=[{"role": "user", "content": "Say hello"}]
        )
        client.embeddings.create(model=MODEL, input=["one", "two"])
    spans = told("translate")
    root, chat, vectors = (
        spans[name] for name in ("translate", "ChatCompletion", "CreateEmbeddings")
    )
    assert root.span.kind is SpanKind.APP
    assert (chat.parent, vectors.parent) == (root, root)
    assert (chat.span.kind, vectors.span.kind) == (SpanKind.CHAT, SpanKind.EMBEDDING)
    assert (chat.span.model, chat.span.status) == (MODEL, Status.OK)
    assert (chat.span.input_tokens, chat.span.output_tokens) == (20, 4)
    assert chat.span.cached_tokens == 8
    assert chat.span.cost_nano == 24 * NANO_PER_TOKEN
    assert chat.request["messages"] == [{"role": "user", "content": "Say hello"}]
    assert chat.request["temperature"] == 0.5
    (choice,) = chat.response["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Bonjour"}
    assert choice["finish_reason"] == "stop"
    assert vectors.request == {"model": MODEL, "input": ["one", "two"]}
    assert [len(one["embedding"]) for one in vectors.response["data"]] == [8, 8]
    assert vectors.span.cost_nano == 2 * NANO_PER_TOKEN
    assert (chat.span.team, chat.span.user, chat.span.app) == ("search", "ada", None)


def test_a_stream_and_a_failure(instrumented, client, fake, told):
    with instrumented.start_as_current_span("two calls"):
        stream = client.chat.completions.create(
            model=MODEL,
            stream=True,
            stream_options={"include_usage": True},
            messages=[{"role": "user", "content": "Count"}],
        )
        assert list(stream)
    assert told("two calls")["ChatCompletion"].span.stream
    with instrumented.start_as_current_span("a mistake"), pytest.raises(openai.NotFoundError):
        client.chat.completions.create(
            model="no:such", messages=[{"role": "user", "content": "Hi"}]
        )
    failed = told("a mistake")["ChatCompletion"].span
    assert failed.status is Status.ERROR
    assert "There is no provider 'no'" in failed.error
    assert failed.error_code.endswith("NotFoundError")


def test_langchain(tracer_provider, door, secret, fake, told):
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI

    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider)
    try:
        model = ChatOpenAI(model=MODEL, base_url=f"{door.url}/v1", api_key=secret)
        prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")])
        fake.queue(Reply("A wheel.", usage=Usage(input_tokens=30, output_tokens=3)))
        assert (prompt | model | StrOutputParser()).invoke({"question": "What is it?"}) == (
            "A wheel."
        )
    finally:
        instrumentor.uninstrument()
    spans = told("RunnableSequence")
    root, chat = spans["RunnableSequence"], spans["ChatOpenAI"]
    assert root.span.kind is SpanKind.APP
    assert {spans[name].parent for name in ("ChatPromptTemplate", "StrOutputParser")} == {root}
    assert spans["StrOutputParser"].span.kind is SpanKind.STEP
    assert chat.parent is root
    assert (chat.span.kind, chat.span.model) == (SpanKind.CHAT, MODEL)
    assert (chat.span.input_tokens, chat.span.output_tokens) == (30, 3)
    assert chat.span.cost_nano == 33 * NANO_PER_TOKEN
    assert [one["role"] for one in chat.request["messages"]] == ["system", "user"]
    assert chat.response["choices"][0]["message"]["content"] == "A wheel."
    assert root.request == "What is it?"
    assert root.response == "A wheel."


def test_llama_index(tracer_provider, client, fake, told):
    from llama_index.core import Document, VectorStoreIndex
    from llama_index.core.embeddings import MockEmbedding
    from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
    from llama_index.core.llms.callbacks import llm_completion_callback

    class Noria(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(model_name=MODEL)

        @llm_completion_callback()
        def complete(self, prompt, formatted=False, **_):
            messages = [{"role": "user", "content": prompt}]
            answer = client.chat.completions.create(model=MODEL, messages=messages)
            return CompletionResponse(text=answer.choices[0].message.content, raw=answer)

        @llm_completion_callback()
        def stream_complete(self, prompt, formatted=False, **_):
            raise NotImplementedError

    index = VectorStoreIndex.from_documents(
        [Document(text="A noria lifts water.")], embed_model=MockEmbedding(embed_dim=4)
    )
    fake.queue(Reply("Water.", usage=Usage(input_tokens=40, output_tokens=2)))
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=tracer_provider)
    try:
        engine = index.as_query_engine(llm=Noria(), similarity_top_k=1)
        assert str(engine.query("What does it lift?")) == "Water."
    finally:
        instrumentor.uninstrument()
    spans = told("RetrieverQueryEngine.query")
    root, search, call = (
        spans[name]
        for name in (
            "RetrieverQueryEngine.query",
            "VectorIndexRetriever.retrieve",
            "Noria.complete",
        )
    )
    assert search.span.kind is SpanKind.SEARCH
    assert search.request == {"query": "What does it lift?"}
    assert search.response[0]["content"] == "A noria lifts water."
    assert (call.span.kind, call.span.input_tokens, call.span.output_tokens) == (
        SpanKind.CHAT, 40, 2,
    )  # fmt: skip
    assert call.span.cost_nano == 42 * NANO_PER_TOKEN
    above = call
    while above.parent is not None:
        above = above.parent
    assert above is root
    # LlamaIndex tells of one call three times, each inside the other: the run's sum has it once.
    (whole, *_) = grow(root.run)
    assert whole.cost_nano == 42 * NANO_PER_TOKEN
    assert (whole.input_tokens, whole.output_tokens, whole.calls) == (40, 2, 2)  # and one embedding


def test_pydantic_ai(tracer_provider, door, secret, fake, told):
    from pydantic_ai import Agent
    from pydantic_ai.capabilities import Instrumentation
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(
        MODEL, provider=OpenAIProvider(base_url=f"{door.url}/v1", api_key=secret)
    )
    settings = InstrumentationSettings(tracer_provider=tracer_provider)
    agent = Agent(
        model,
        name="forecaster",
        instructions="Use the tool.",
        capabilities=[Instrumentation(settings=settings)],
    )

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    fake.queue(
        Reply(tool_calls=[ToolCall("weather", {"city": "Paris"})], usage=Usage(50, 5)),
        Reply("It rains.", usage=Usage(60, 6)),
    )
    assert agent.run_sync("And in Paris?").output == "It rains."
    spans = told("invoke_agent forecaster")
    root, tool = spans["invoke_agent forecaster"], spans["weather"]
    assert (root.span.kind, tool.span.kind) == (SpanKind.APP, SpanKind.TOOL)
    assert root.span.input_tokens is None  # the sum of its calls, which have them
    assert (tool.request, tool.response) == ({"city": "Paris"}, "rain in Paris")
    assert tool.parent is root
    call = spans[f"chat {MODEL}"]
    assert call.parent is root
    assert call.span.cost_nano == 66 * NANO_PER_TOKEN
    assert [one["role"] for one in call.request["messages"]] == [
        "system", "user", "assistant", "tool",
    ]  # fmt: skip
    assert call.request["tools"][0]["function"]["name"] == "weather"
    assert root.request["messages"][0] == {"role": "user", "content": "And in Paris?"}


def test_what_a_span_says_it_cost_is_taken(tracer_provider, told):
    tracer = tracer_provider.get_tracer("a program")
    with tracer.start_as_current_span("priced elsewhere") as span:
        span.set_attributes(
            {
                "openinference.span.kind": "LLM",
                "llm.provider": "openai",
                "llm.model_name": "gpt-4o-mini",
                "llm.token_count.prompt": 1_000_000,
                "llm.token_count.completion": 0,
                "llm.cost.total": 0.125,
            }
        )
    found = told("priced elsewhere")["priced elsewhere"].span
    assert (found.target, found.cost_nano) == ("openai:gpt-4o-mini", 125_000_000)


def test_what_no_span_says_is_looked_up(tracer_provider, told):
    from noria.models.prices import listed_price

    tracer = tracer_provider.get_tracer("a program")
    with tracer.start_as_current_span("priced here") as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "gcp.gemini",
                "gen_ai.request.model": "gemini-2.5-flash",
                "gen_ai.usage.input_tokens": 1_000_000,
                "gen_ai.usage.output_tokens": 1_000_000,
            }
        )
    found = told("priced here")["priced here"].span
    price, _ = listed_price("google", "gemini-2.5-flash")
    assert found.target == "gemini:gemini-2.5-flash"
    assert found.cost_nano == price.cost(Usage(1_000_000, 1_000_000)) > 0
