"""LangChain inside a step. Serve it with: noria serve app.py

The chain is LangChain's; the model behind it is noria's, in process: its calls stand in the run's
trace, spend the application's budget, and are refused what they are not cleared for.
"""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate

from noria import App, Model, step

app = App("chain", model="writer", budget="2 USD/day")


class NoriaChat(BaseChatModel):
    """A model of noria's as LangChain wants one."""

    model: Any

    @property
    def _llm_type(self) -> str:
        return "noria"

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = await self.model.ask("", history=convert_to_openai_messages(messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = self.model.ask_sync("", history=convert_to_openai_messages(messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


prompt = ChatPromptTemplate.from_messages(
    [("system", "Answer in one sentence for {audience}."), ("user", "{question}")]
)


@step
async def explain(model: Model, question: str, audience: str) -> str:
    """The chain, as LangChain writes it."""
    chain = prompt | NoriaChat(model=model) | StrOutputParser()
    return await chain.ainvoke({"question": question, "audience": audience})


@app.chat
async def answer(question: str) -> str:
    """Explains something twice: once for an expert, once for a child."""
    expert = await explain(app.model, question, "an expert")
    child = await explain(app.model, question, "a child of ten")
    return f"{expert}\n\n{child}"
