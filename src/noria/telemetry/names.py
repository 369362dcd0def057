"""The names by which other systems know what noria records. Nothing else in noria spells them.

Two vocabularies are read: the GenAI conventions of OpenTelemetry, which moved to a repository of
their own (open-telemetry/semantic-conventions-genai, version 0.1.0; `gen_ai.provider.name` has
replaced `gen_ai.system`), and those of OpenInference (openinference-semantic-conventions 0.1.42).
The first is written as well. Older spellings that instrumentors still send are read only.
"""

from __future__ import annotations

from noria.types import SpanKind

__all__ = ["GEN_AI_VERSION", "KIND_OF_OPERATION", "KIND_OF_SPAN", "OPERATION_OF_KIND"]

GEN_AI_VERSION = "0.1.0"
"""Of the GenAI conventions that noria writes."""

# What a span is

GEN_AI = "gen_ai"
OPERATION = "gen_ai.operation.name"
SPAN_KIND = "openinference.span.kind"

KIND_OF_OPERATION = {
    "chat": SpanKind.CHAT,
    "text_completion": SpanKind.CHAT,
    "generate_content": SpanKind.CHAT,
    "embeddings": SpanKind.EMBEDDING,
    "execute_tool": SpanKind.TOOL,
    "retrieval": SpanKind.SEARCH,
    "search_memory": SpanKind.SEARCH,
}
"""Every other operation (`invoke_agent`, `invoke_workflow`, `plan`, ...) is a step."""

KIND_OF_REQUEST = {
    "chat": SpanKind.CHAT,
    "completion": SpanKind.CHAT,
    "embedding": SpanKind.EMBEDDING,
    "rerank": SpanKind.SEARCH,
}
"""OpenLLMetry's `llm.request.type`."""

KIND_OF_ENTITY = {"tool": SpanKind.TOOL, "task": SpanKind.STEP, "agent": SpanKind.STEP}
"""OpenLLMetry's `traceloop.span.kind`; a workflow is a step or, with nothing above it, a run."""

KIND_OF_TYPE = {
    "CHAT_MODEL": SpanKind.CHAT,
    "LLM": SpanKind.CHAT,
    "EMBEDDING": SpanKind.EMBEDDING,
    "TOOL": SpanKind.TOOL,
    "RETRIEVER": SpanKind.SEARCH,
    "RERANKER": SpanKind.SEARCH,
}
"""MLflow's `mlflow.spanType`."""

KIND_OF_ENDING = {
    "doGenerate": SpanKind.CHAT,
    "doStream": SpanKind.CHAT,
    "doEmbed": SpanKind.EMBEDDING,
    "toolCall": SpanKind.TOOL,
}
"""How the operations of Vercel's AI SDK end (`ai.generateText.doGenerate`); what is around them
repeats their tokens and is a step."""

REQUEST_TYPE = "llm.request.type"
ENTITY_KIND = "traceloop.span.kind"
SPAN_TYPE = "mlflow.spanType"
VERCEL_OPERATIONS = ("ai.operationId", "operation.name")
VERCEL = "ai."
AGENTS = ("gen_ai.agent.name", "agent_name", "gen_ai.agent.id")

KIND_OF_SPAN = {
    "LLM": SpanKind.CHAT,
    "EMBEDDING": SpanKind.EMBEDDING,
    "TOOL": SpanKind.TOOL,
    "RETRIEVER": SpanKind.SEARCH,
    "RERANKER": SpanKind.SEARCH,
}
"""The same of OpenInference; a CHAIN, an AGENT or anything else is a step."""

OPERATION_OF_KIND = {
    SpanKind.CHAT: "chat",
    SpanKind.EMBEDDING: "embeddings",
    SpanKind.TOOL: "execute_tool",
    SpanKind.SEARCH: "retrieval",
    SpanKind.APP: "invoke_workflow",
}
"""What noria writes of its own spans; steps and checks have no name in the conventions."""

# Who answered. An attribute may have several names, the best one first.

PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
STREAM = "gen_ai.request.stream"
FIRST_CHUNK_SECONDS = "gen_ai.response.time_to_first_chunk"

PROVIDERS = (
    PROVIDER, "llm.provider", "gen_ai.system", "llm.system", "ai.model.provider",
    "mlflow.llm.provider",
)  # fmt: skip
PROVIDER_APIS = (
    ".chat", ".responses", ".messages", ".completion", ".embedding", ".generative-ai", ".image",
)  # fmt: skip
"""What Vercel's AI SDK adds to a provider's name: which of its APIs was asked."""
REQUEST_MODELS = (REQUEST_MODEL, "llm.request.model_name", "ai.model.id", "mlflow.llm.model")
STREAMS = (STREAM, "gen_ai.is_streaming", "llm.is_streaming")
RESPONSE_MODELS = (
    RESPONSE_MODEL, "llm.response.model_name", "llm.model_name", "embedding.model_name",
    "ai.response.model",
)  # fmt: skip
PARAMETERS = ("llm.invocation_parameters", "embedding.invocation_parameters")
"""JSON of what was asked beside the messages. OpenInference puts the model asked for in it, and the
one that answered in `llm.model_name`."""
FIRST_CHUNKS = (
    FIRST_CHUNK_SECONDS, "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.server.time_to_first_token", "ai.response.msToFirstChunk",
)  # fmt: skip

PROVIDER_NAMES = {
    "openai": "openai",
    "azure": "openai",
    "azure.ai.openai": "openai",
    "anthropic": "anthropic",
    "gcp.gemini": "gemini",
    "gcp.gen_ai": "gemini",
    "gcp.vertex_ai": "gemini",
    "google": "gemini",
    "vertexai": "gemini",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "xai",
    "moonshot_ai": "moonshot",
}
"""noria's name of a provider that others name otherwise."""

WRITTEN_PROVIDERS = {
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "moonshot": "moonshot_ai",
}
"""The conventions' name of a provider that noria names otherwise."""

# Tokens and money

INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"

INPUTS = (
    INPUT_TOKENS, "llm.token_count.prompt", "gen_ai.usage.prompt_tokens", "ai.usage.inputTokens",
    "ai.usage.promptTokens", "ai.usage.tokens", "llm.usage.prompt_tokens",
)  # fmt: skip
OUTPUTS = (
    OUTPUT_TOKENS, "llm.token_count.completion", "gen_ai.usage.completion_tokens",
    "ai.usage.outputTokens", "ai.usage.completionTokens", "llm.usage.completion_tokens",
)  # fmt: skip
CACHED = (
    CACHED_TOKENS, "llm.token_count.prompt_details.cache_read",
    "llm.token_count.prompt_details.cache_input", "gen_ai.usage.details.cached_tokens",
    "ai.usage.cachedInputTokens", "gen_ai.usage.cache_read_input_tokens",
)  # fmt: skip
CACHE_WRITES = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
)  # fmt: skip
REASONING = (
    REASONING_TOKENS, "llm.token_count.completion_details.reasoning",
    "gen_ai.usage.details.reasoning_tokens", "gen_ai.usage.reasoning_tokens",
    "ai.usage.reasoningTokens",
)  # fmt: skip
COSTS_USD = (
    "llm.cost.total", "operation.cost", "gen_ai.usage.cost", "gen_ai.cost.total_cost",
)  # fmt: skip
USAGES = ("gen_ai.usage.raw", "mlflow.chat.tokenUsage")
"""JSON of tokens, as a provider's API has them."""

# What went in and out. A name that ends with a dot begins a flattened list: `NAME0.role`, ...

INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_ARGUMENTS = ("gen_ai.tool.call.arguments", "ai.toolCall.args", "tool_arguments")
TOOL_SCHEMA = "tool.parameters"
"""What a tool takes, or what it was given: OpenInference's instrumentors differ."""
TOOL_RESULT = ("gen_ai.tool.call.result", "ai.toolCall.result", "tool_response")
INPUTS_AS_JSON = ("traceloop.entity.input", "mlflow.spanInputs", "ai.prompt")
OUTPUTS_AS_JSON = ("traceloop.entity.output", "mlflow.spanOutputs", "ai.response.object")
QUERY = ("gen_ai.retrieval.query.text", "reranker.query", "gen_ai.memory.query.text")
FOUND = "gen_ai.retrieval.documents"

LLM_INPUT = "llm.input_messages."
LLM_OUTPUT = "llm.output_messages."
LLM_PROMPTS = "llm.prompts."
LLM_CHOICES = "llm.choices."
LLM_TOOLS = "llm.tools."
EMBEDDINGS = "embedding.embeddings."
FINISH = ("llm.finish_reason",)
RETRIEVED = ("retrieval.documents.", "reranker.output_documents.")
FLAT_PROMPT = "gen_ai.prompt."
FLAT_COMPLETION = "gen_ai.completion."
INPUT_VALUE, INPUT_MIME = "input.value", "input.mime_type"
OUTPUT_VALUE, OUTPUT_MIME = "output.value", "output.mime_type"
JSON_MIME = "application/json"

AGENT_INPUT, AGENT_OUTPUT = "pydantic_ai.all_messages", "final_result"
FINISH_REASONS = {"tool_call": "tool_calls"}
"""OpenAI's name of a reason that GenAI names otherwise."""

_CONTENT = (
    INPUT_MESSAGES, OUTPUT_MESSAGES, INSTRUCTIONS, TOOL_DEFINITIONS, *TOOL_ARGUMENTS, TOOL_SCHEMA,
    *TOOL_RESULT, *INPUTS_AS_JSON, *OUTPUTS_AS_JSON, "ai.prompt", "ai.response.text",
    "ai.response.toolCalls", "ai.response.reasoning", "ai.value", "ai.embedding",
    *QUERY, FOUND, LLM_INPUT, LLM_OUTPUT, LLM_PROMPTS, LLM_CHOICES, *PARAMETERS, LLM_TOOLS,
    EMBEDDINGS, *RETRIEVED, "reranker.input_documents.", FLAT_PROMPT, FLAT_COMPLETION,
    AGENT_INPUT, AGENT_OUTPUT, "input.", "output.", "llm.prompt_template.", "llm.function_call",
    "metadata", "all_messages_events", "logfire.json_schema",
)  # fmt: skip
CONTENT = tuple(name.rstrip(".") for name in _CONTENT)
"""Beginnings of the names of attributes that carry texts of callers and models."""

# Everything else

TOOL_NAMES = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "traceloop.entity.name")

# Messages told as events of a span or in the log, each in the form that its provider has

DETAILS = "gen_ai.client.inference.operation.details"
ROLE_OF_EVENT = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
CHOICE_EVENT = "gen_ai.choice"
EVENT_NAME = "event.name"
FLAT_EVENTS = {
    "gen_ai.content.prompt": "gen_ai.prompt",
    "gen_ai.content.completion": "gen_ai.completion",
}
WORKFLOW_NAME = "gen_ai.workflow.name"
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_LABEL = "gen_ai.evaluation.score.label"
ERROR_TYPE = "error.type"
EXCEPTION_EVENT = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"

# What only noria knows is written under its own name.

OWN_KIND = "noria.span.kind"
OWN_STATUS = "noria.status"
OWN_COST_USD = "noria.cost.usd"
OWN_KEY = "noria.key.id"
OWN_TEAM = "noria.team"
OWN_USER = "noria.user"
OWN_APP = "noria.app"
