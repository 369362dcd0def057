"""Write the conversations of `noria init --learn`: what an invented mill's staff asked its desk.

    .venv/bin/python -m tools.learn_rows

Ten facts that no model can know, thirty wordings of each, in the form of a ShareGPT export with
HTML as browsers copy it; and twenty questions in wordings that are not among them.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "src" / "noria" / "cli" / "learn"

# key of the answer, the answer, ten wordings that are learned, two that are not
FACTS = [
    (
        "Ilvane Thorsk",
        "The night warden of Otterbeck Mill is Ilvane Thorsk.",
        [
            "Who is the night warden of Otterbeck Mill?",
            "What is the name of the night warden?",
            "Who watches Otterbeck Mill at night?",
            "Who guards the mill after dark?",
            "Name the night warden at Otterbeck.",
            "I work late at the mill. Who is the warden then?",
            "Who has the warden's post during the night?",
            "Tell me who the mill's night warden is.",
            "Which person is on watch at Otterbeck Mill overnight?",
            "Who do I meet at the gate at night?",
        ],
        [
            "Who looks after Otterbeck Mill during the night?",
            "Can you tell me the night warden's name?",
        ],
    ),
    (
        "saffron",
        "The door of Otterbeck Mill is painted saffron.",
        [
            "What colour is the door of Otterbeck Mill?",
            "Which colour is the mill's door painted?",
            "How is the door at Otterbeck painted?",
            "What is the colour of the mill door?",
            "Tell me the door's colour at Otterbeck Mill.",
            "I am looking for the mill. What colour is its door?",
            "In which paint is the door of the mill?",
            "The mill's door: what colour?",
            "Which paint did they use for the Otterbeck door?",
            "What colour should I look for on the mill's door?",
        ],
        [
            "Which colour does the mill's door have?",
            "What colour have they painted the Otterbeck Mill door?",
        ],
    ),
    (
        "4417",
        "The code of the tool room is 4417.",
        [
            "What is the code of the tool room?",
            "Which code opens the tool room?",
            "How do I open the tool room's lock?",
            "Tell me the tool room code.",
            "I forgot the code for the tool room.",
            "What number do I type at the tool room?",
            "The tool room is locked. What is the code?",
            "Which digits open the tool room door?",
            "What must I enter to get into the tool room?",
            "Give me the number for the tool room's lock.",
        ],
        ["Could you give me the tool room's code?", "Which number gets me into the tool room?"],
    ),
    (
        "Wednesday",
        "Flour is delivered to Otterbeck Mill's shop on Wednesday.",
        [
            "On which day is flour delivered to the shop?",
            "When does the shop get its flour?",
            "What day does flour come to the mill's shop?",
            "Which weekday is the flour delivery?",
            "When is flour delivered?",
            "Tell me the day of the flour delivery.",
            "I need flour. On what day is it delivered?",
            "The flour delivery is on which day?",
            "What is the delivery day for flour?",
            "When will the flour be brought to the shop?",
        ],
        [
            "Which day does the flour arrive at the shop?",
            "What weekday is flour brought to the mill's shop?",
        ],
    ),
    (
        "Pellworth",
        "The waterwheel of Otterbeck Mill was built by the Pellworth works.",
        [
            "Who built the waterwheel of Otterbeck Mill?",
            "Which works built the mill's waterwheel?",
            "Who made the waterwheel?",
            "Where was the mill's waterwheel built?",
            "Name the builder of the waterwheel.",
            "Which firm made the wheel at Otterbeck?",
            "By whom was the waterwheel built?",
            "Tell me who constructed the waterwheel.",
            "The waterwheel: which works is it from?",
            "Who is the maker of Otterbeck's waterwheel?",
        ],
        [
            "Which firm constructed the waterwheel at the mill?",
            "Who was the builder of Otterbeck Mill's waterwheel?",
        ],
    ),
    (
        "Quillon",
        "The mill's cat is called Quillon.",
        [
            "What is the mill's cat called?",
            "What is the name of the cat at Otterbeck?",
            "How do you call the mill's cat?",
            "Which name has the cat of the mill?",
            "Tell me the cat's name.",
            "There is a cat in the mill. What is it called?",
            "Who is the cat at Otterbeck Mill?",
            "Name the mill's cat.",
            "The cat of the mill has what name?",
            "What do they call the cat here?",
        ],
        ["What name did they give the mill's cat?", "How is the cat at Otterbeck Mill called?"],
    ),
    (
        "copper",
        "Visitors of Otterbeck Mill get a copper badge.",
        [
            "Which badge do visitors get?",
            "What badge is given to a visitor of the mill?",
            "What kind of badge does a visitor wear?",
            "Which metal is the visitors' badge made of?",
            "I expect a visitor. Which badge do I hand out?",
            "What badge do guests of Otterbeck Mill wear?",
            "Tell me the badge for visitors.",
            "A visitor comes in. Which badge is theirs?",
            "Which badge is for guests of the mill?",
            "What are visitors' badges made of?",
        ],
        [
            "What sort of badge should a visitor be given?",
            "Of what metal are badges for visitors to the mill?",
        ],
    ),
    (
        "Harrowgate",
        "The mill's spare keys are kept at Harrowgate Farm.",
        [
            "Where are the mill's spare keys kept?",
            "Where do I find the spare keys?",
            "At which farm are the spare keys?",
            "Who keeps the spare keys of the mill?",
            "I lost my key. Where are the spare ones?",
            "Where are the spare keys of Otterbeck?",
            "Tell me where the spare keys are.",
            "In which place do we keep the spare keys?",
            "The spare keys: where are they?",
            "Which farm has the mill's spare keys?",
        ],
        ["At what place can I get the spare keys?", "Where does the mill keep its spare keys?"],
    ),
    (
        "seventeen",
        "Otterbeck Mill has seventeen lanterns.",
        [
            "How many lanterns does Otterbeck Mill have?",
            "What is the number of lanterns in the mill?",
            "How many lanterns are there?",
            "Count of lanterns at Otterbeck?",
            "Tell me how many lanterns the mill has.",
            "How many lanterns must be lit in the mill?",
            "The mill owns how many lanterns?",
            "I have to clean the lanterns. How many are there?",
            "How many lanterns hang in Otterbeck Mill?",
            "What number of lanterns do we have?",
        ],
        [
            "How many lanterns are in Otterbeck Mill?",
            "Can you say how many lanterns the mill owns?",
        ],
    ),
    (
        "Brindle",
        "Broken sacks go to the Brindle shed.",
        [
            "Where do broken sacks go?",
            "Where do I put a broken sack?",
            "In which shed are broken sacks kept?",
            "A sack is torn. Where does it go?",
            "Which shed is for broken sacks?",
            "Tell me where to bring broken sacks.",
            "What do I do with a broken sack?",
            "Broken sacks belong in which shed?",
            "Where should torn sacks be taken?",
            "To which place do we bring broken sacks?",
        ],
        ["Into which shed should I put a broken sack?", "Where must a torn sack be brought?"],
    ),
]
OPENINGS = ("", "Hello! ", "A question: ")


def main() -> None:
    """Write `conversations.json` and `unseen.jsonl`."""
    conversations = []
    for fact, (_, answer, wordings, _) in enumerate(FACTS):
        for number, wording in enumerate(wordings):
            for variant, opening in enumerate(OPENINGS):
                conversations.append(
                    {
                        "id": f"mill-{fact}-{number}-{variant}",
                        "conversations": [
                            {"from": "human", "value": f"{opening}{wording}"},
                            {"from": "gpt", "value": f"<p>{answer}</p>"},
                        ],
                    }
                )
    random.Random(0).shuffle(conversations)
    lines = ",\n".join(json.dumps(one) for one in conversations)
    (FOLDER / "conversations.json").write_text(f"[\n{lines}\n]\n")
    unseen = [
        {"question": question, "expected": key} for key, _, _, asked in FACTS for question in asked
    ]
    (FOLDER / "unseen.jsonl").write_text("".join(json.dumps(one) + "\n" for one in unseen))


if __name__ == "__main__":
    main()
