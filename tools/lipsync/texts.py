"""What the training voices say: short sentences of our own, their words reshuffled, and invented words.

Reshuffling and inventing matter more than the sentences: they keep the model from learning a language's habits, so
that it hears shapes of the mouth. Held out for testing: the Harvard sentences (English) and every fifth sentence of
each other language.
"""

SENTENCES = {
    "en": """Good morning, how can I help you today? I would be happy to look that up for you.
The weather tomorrow will be mostly cloudy with some rain in the evening. Please wait a moment while I check.
My favourite thing about this place is the view over the valley. We could meet by the bridge at half past five.
She bought five fresh peaches and a bag of brown bread. Thank you very much, that was very kind of you.
Both of them thought the path was smooth enough. The judge chose to change the usual measure.
Why would you want to walk when you have a wonderful wagon? He poured the boiling water over the tea leaves.
A young fox jumped over the garden fence this morning. You should put your shoes by the door before you come in.
Every year we travel through the northern woods. That thing over there is worth more than you think.
Our team will fix the problem before the end of the week. Could you please spell your last name for me?
Maybe we should move the meeting to Monday. People often forget to breathe when they are nervous.
The purple butterfly lives for a very short time. I am afraid I did not understand the question.
Open the window and let some fresh air into the room. Bob and Pam made a map of the big empty barn.
Vivian gave Fred a very funny five pound fish. They gathered together with their mother and father.
Zoe's cousins raise zebras and lazy donkeys. Joe and Jane enjoy the juice of orange jelly.
Shall we show the machine to the special commission? It takes about twenty minutes to get there by bus.
Go and get the big green bag from the garage. No one knows when the long song began.
Laura will really love the yellow lily. Our hour is over, and the owl is out now.
Ask your boy to enjoy his toys. How about a brown cow in the south of town?""",
    "de": """Guten Morgen, wie kann ich Ihnen heute helfen? Das Wetter wird morgen schön und ziemlich warm.
Können Sie mir bitte sagen, wie spät es ist? Meine Schwester wohnt in einem kleinen Dorf am Fluss.
Wir fahren übermorgen mit dem Zug nach München. Der Apfel fällt nicht weit vom Stamm.
Pferde laufen über die grüne Wiese. Zwölf Boxkämpfer jagen Viktor quer über den großen Deich.
Ich möchte gern ein Stück Kuchen und eine Tasse Kaffee. Die Bäume im Park verlieren schon ihre Blätter.
Vielen Dank für Ihre Geduld, ich schaue gleich nach. Das Buch liegt auf dem Tisch neben der Lampe.
Warum hast du gestern nicht angerufen? Fünf Freunde feiern ein fröhliches Fest.
Jeden Abend singt der Vogel ein langes Lied. Man soll den Tag nicht vor dem Abend loben.""",
    "es": """Buenos días, en qué puedo ayudarle hoy? El tiempo mañana será soleado y un poco frío.
Mi hermana vive en una casa pequeña cerca del mar. Por favor, espere un momento mientras lo busco.
Los niños juegan en el jardín con un perro blanco. Quiero un vaso de agua y una taza de café.
El tren sale de la estación a las ocho y media. Muchas gracias por su paciencia y su amabilidad.
La lluvia cae sobre los tejados de la vieja ciudad. No hay mal que por bien no venga.
Cuánto cuesta este libro rojo de la mesa? Ayer fuimos al mercado para comprar fruta fresca.
El jefe viajó a México en un barco muy largo. Mañana por la tarde vamos a bailar juntos.""",
    "fr": """Bonjour, comment puis-je vous aider aujourd'hui? Il fera beau demain avec un peu de vent.
Ma petite soeur habite dans une maison bleue près du pont. Veuillez patienter un instant, je cherche.
Les enfants jouent dans le jardin avec un chien blanc. Je voudrais un verre d'eau et une tasse de thé.
Le train part de la gare à huit heures et demie. Merci beaucoup pour votre patience.
Un bon vin blanc se boit avec du pain et du fromage. La pluie tombe sur les toits de la vieille ville.
Combien coûte ce gros livre rouge? Nous avons mangé une soupe chaude chez mon oncle.
Le juge jeune change souvent de chemise. Vous pouvez fermer la fenêtre avant de partir.""",
    "it": """Buongiorno, come posso aiutarla oggi? Domani il tempo sarà bello ma un po' freddo.
Mia sorella abita in una piccola casa vicino al mare. Aspetti un momento per favore, sto cercando.
I bambini giocano nel giardino con un cane bianco. Vorrei un bicchiere d'acqua e una tazza di caffè.
Il treno parte dalla stazione alle otto e mezza. Grazie mille per la vostra pazienza.
La pioggia cade sui tetti della vecchia città. Quanto costa questo libro rosso sul tavolo?
Gli gnocchi della nonna sono sempre buonissimi. Ogni giovedì pomeriggio facciamo una lunga passeggiata.""",
    "pt": """Bom dia, como posso ajudar você hoje? Amanhã o tempo vai ficar bonito e quente.
Minha irmã mora numa casa pequena perto da praia. Espere um momento, por favor, vou procurar.
As crianças brincam no jardim com um cachorro branco. Eu queria um copo de água e uma xícara de café.
O trem sai da estação às oito e meia. Muito obrigado pela sua paciência.
A chuva cai sobre os telhados da velha cidade. Quanto custa este livro vermelho?
Amanhã de manhã vamos juntos ao mercado. O jovem peixe nada no fundo do rio.""",
    "nl": """Goedemorgen, hoe kan ik u vandaag helpen? Morgen wordt het mooi weer met een beetje wind.
Mijn zus woont in een klein huis bij de rivier. Wacht even alstublieft, ik zoek het op.
De kinderen spelen in de tuin met een witte hond. Ik wil graag een glas water en een kopje thee.
De trein vertrekt om half negen van het station. Hartelijk dank voor uw geduld.
De regen valt op de daken van de oude stad. Hoeveel kost dit rode boek?
Vijf vrolijke vissers varen over het grote meer. Jan schrijft zijn moeder een lange brief.""",
    "pl": """Dzień dobry, w czym mogę dzisiaj pomóc? Jutro będzie ładna pogoda i trochę wiatru.
Moja siostra mieszka w małym domu nad rzeką. Proszę chwilę poczekać, zaraz sprawdzę.
Dzieci bawią się w ogrodzie z białym psem. Poproszę szklankę wody i filiżankę kawy.
Pociąg odjeżdża ze stacji o wpół do dziewiątej. Bardzo dziękuję za cierpliwość.
Deszcz pada na dachy starego miasta. Ile kosztuje ta czerwona książka?
W lesie żyją wilki, żubry i jelenie. Każdy chłopiec chciał zobaczyć morze.""",
    "ru": """Доброе утро, чем я могу вам помочь? Завтра будет хорошая погода и немного ветра.
Моя сестра живёт в маленьком доме у реки. Подождите, пожалуйста, я сейчас посмотрю.
Дети играют в саду с белой собакой. Я хотел бы стакан воды и чашку кофе.
Поезд уходит со станции в половине девятого. Большое спасибо за ваше терпение.
Дождь падает на крыши старого города. Сколько стоит эта красная книга?
Каждую пятницу мы ходим в театр. Широкая дорога ведёт через поле к лесу.
Утром бабушка варит вкусную кашу. Юный художник рисует жёлтые цветы.""",
    "sv": """God morgon, hur kan jag hjälpa dig idag? Imorgon blir vädret vackert med lite vind.
Min syster bor i ett litet hus vid floden. Vänta ett ögonblick, jag ska titta efter.
Barnen leker i trädgården med en vit hund. Jag vill gärna ha ett glas vatten och en kopp te.
Tåget går från stationen klockan halv nio. Tack så mycket för ditt tålamod.
Regnet faller på taken i den gamla staden. Sju sjösjuka sjömän sköttes av sköna sköterskor.""",
    "cs": """Dobré ráno, jak vám mohu dnes pomoci? Zítra bude hezké počasí a trochu větru.
Moje sestra bydlí v malém domě u řeky. Počkejte prosím chvíli, hned to najdu.
Děti si hrají v zahradě s bílým psem. Dal bych si sklenici vody a šálek kávy.
Vlak odjíždí z nádraží v půl deváté. Mockrát děkuji za vaši trpělivost.
Déšť padá na střechy starého města. Kolik stojí ta červená kniha?""",
    "fi": """Hyvää huomenta, kuinka voin auttaa teitä tänään? Huomenna on kaunis ilma ja vähän tuulta.
Sisareni asuu pienessä talossa joen rannalla. Odottakaa hetki, tarkistan asian heti.
Lapset leikkivät puutarhassa valkoisen koiran kanssa. Haluaisin lasin vettä ja kupin kahvia.
Juna lähtee asemalta puoli yhdeksältä. Kiitos paljon kärsivällisyydestä.
Sade putoaa vanhan kaupungin katoille. Paljonko tämä punainen kirja maksaa?
Vanha mies istui penkillä ja luki sanomalehteä. Syksyllä puiden lehdet muuttuvat keltaisiksi.
Talvella lumi peittää maan ja järvet jäätyvät. Hevonen seisoo aidan vieressä ja syö heinää.""",
    "ca": """Bon dia, com el puc ajudar avui? Demà farà bon temps amb una mica de vent.
La meva germana viu en una casa petita a prop del mar. Esperi un moment, ara ho miro.
Els nens juguen al jardí amb un gos blanc. Voldria un got d'aigua i una tassa de te.
El tren surt de l'estació a dos quarts de nou. Moltes gràcies per la seva paciència.
La pluja cau sobre les teulades de la ciutat vella. Quant costa aquest llibre vermell?
El gat negre dorm damunt de la cadira. Aquesta tarda anirem al mercat a comprar peix fresc.""",
}

HARVARD = """
The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the depth of
a well. These days a chicken leg is a rare dish. Rice is often served in round bowls. The juice of lemons makes fine
punch. The box was thrown beside the parked truck. Four hours of steady work faced us. The hogs were fed chopped corn
and garbage. A large size in stockings is hard to sell. The boy was there when the sun rose. A rod is used to catch
pink salmon. The source of the huge river is the clear spring. Help the woman get back to her feet. Kick the ball
straight and follow through. A pot of tea helps to pass the evening. Smoky fires lack flame and heat. The soft cushion
broke the man's fall. The salt breeze came across from the sea. The girl at the booth sold fifty bonds. The small pup
gnawed a hole in the sock. The fish twisted and turned on the bent hook. Two blue fish swam in the tank. Press the
pants and sew a button on the vest. The swan dive was far short of perfect. Her purse was full of useless trash. The
beauty of the view stunned the young boy. The colt reared and threw the tall rider. Read verse out loud for pleasure.
Hoist the load to your left shoulder. Take the winding path to reach the lake. Wipe the grease off his dirty face."""

_SYLLABLES = {  # onsets, vowels, codas as the language spells them
    "en": ("b p m f v w th sh ch j k g d t s z n l r h y br pl sp fl tr", "a e i o u ee oo ai ow oi aw er",
           " m n ng p b t d k g f v s z sh ch th l r mp nd"),
    "de": ("b p m f w sch tsch k g d t s z n l r h j pf pl br st",
           "a e i o u ä ö ü ei au eu ie", " m n ng p t k f s sch ch l r"),
    "es": ("b p m f ch k g d t s n l r j ñ ll br pl", "a e i o u ia ue", " m n s l r d"),
    "fr": ("b p m f v ch j k g d t s z n l r gn br pl",
           "a é i o u ou eu on an in oi", " m n p b t d k gue f v s che l r"),
    "it": ("b p m f v c g d t s z n l r gn br pl sc", "a e i o u ia uo", " n l r"),
    "ru": ("б п м ф в ш ж ч к г д т с з н л р х ц бр пл", "а е и о у ы э ю я", " м н п т к ф в с ш ч л р й"),
    "pl": ("b p m f w sz ż cz k g d t s z n l r h c br pl", "a e i o u y ą ę", " m n p t k f w s sz cz l r"),
}  # fmt: skip
_SPELLED_LIKE = dict.fromkeys(["pt", "ca"], "es") | dict.fromkeys(["nl", "sv"], "de") | {"cs": "pl", "fi": "it"}


def _split(text):
    out, start = [], 0
    for i, c in enumerate(text):
        if c in ".?!" and (i + 1 == len(text) or text[i + 1].isspace()):
            out.append(" ".join(text[start : i + 1].split()))
            start = i + 1
    return out


def sentences(language, test=False):
    """The language's training or held-out sentences."""
    if language == "en":
        return _split(HARVARD if test else SENTENCES["en"])
    return [s for i, s in enumerate(_split(SENTENCES[language])) if (i % 5 == 4) == test]


def sentence(language, rng):
    """A training text: a sentence, its language's words in any order, or invented words."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(sentences(language))
    count = rng.randint(4, 9)
    if kind < 0.65:
        words = " ".join(sentences(language)).replace(",", "").replace(".", "").replace("?", "").split()
        chosen = [rng.choice(words) for _ in range(count)]
    else:
        onsets, vowels, codas = (part.split(" ") for part in _SYLLABLES[_SPELLED_LIKE.get(language, language)])
        chosen = []
        for _ in range(count):
            parts = [rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(1, 3))]
            chosen.append("".join(parts) + rng.choice(codas))
    for i in range(1, count - 2):
        if rng.random() < 0.08:
            chosen[i] += ","
    return " ".join(chosen) + "."
