"""Templates of everyday requests and the words that fill them."""

from __future__ import annotations

from collections.abc import Mapping

PLAIN: tuple[str, ...] = (
    "What is the capital of {country}?",
    "Which language is spoken in {country}?",
    "What currency do people use in {country}?",
    "How many people live in {city}?",
    "What is the best time of the year to visit {city}?",
    "Plan a three-day trip to {city} for a family with two children.",
    "Where is {city} and how do I get there from {city}?",
    "Which continent is {country} in?",
    "What are the main exports of {country}?",
    "Which river flows through {city}?",
    "What is the highest mountain in {country}?",
    "How do I cook {food}?",
    "Give me a simple recipe for {food} with {food}.",
    "How long does {food} keep in the refrigerator?",
    "Is {food} healthy for {person}?",
    "What wine goes well with {food}?",
    "How many calories are there in {food}?",
    "What do {animal}s eat?",
    "How long does a {animal} live?",
    "Can a {animal} and a {animal} live in the same house?",
    "Why do {animal}s sleep so much?",
    "What sound does a {animal} make?",
    "How fast can a {animal} run?",
    "What is the scientific name of the {animal}?",
    "Explain {science} to {person}.",
    "What is the difference between {science} and {science}?",
    "Who discovered {science}?",
    "What year was {science} discovered, and by whom?",
    "Why is {science} important?",
    "What is the chemical symbol of {element}?",
    "At which temperature does {element} melt?",
    "Write a Python function that {code}.",
    "How do I {code} in {language}?",
    "My {language} program crashes when it tries to {code}. What could be wrong?",
    "Explain the difference between {language} and {language}.",
    "Write a unit test for a function that {code}.",
    "How do I undo the last commit in git?",
    "What does the error 'index out of range' mean in {language}?",
    "Write a short poem about {thing}.",
    "Write an email to my {person} about {thing}.",
    "Write a cover letter for a job as a {job}.",
    "What does a {job} earn in {country}?",
    "What qualifications do I need to become a {job}?",
    "What questions are asked in an interview for a {job}?",
    "What is the father of the {job} by profession?",
    "What do the parents of a {job} usually do for a living?",
    "Translate 'where is the {thing}' into {tongue}.",
    "How do you say 'good morning' in {tongue}?",
    "Summarise the history of {country} in five sentences.",
    "When did {country} become independent?",
    "Who was the first president of {country}?",
    "Who is the current prime minister of {country}?",
    "What started the war between {country} and {country}?",
    "What are the symptoms of {illness}?",
    "How is {illness} treated?",
    "Can {person} with {illness} eat {food}?",
    "How much water should {person} drink a day?",
    "How do I fall asleep faster?",
    "What is a good workout for {person} who has {illness}?",
    "How do I repair a broken {thing}?",
    "How do I clean a {thing}?",
    "What is a fair price for a used {thing}?",
    "What should I give my {person} for a birthday?",
    "Suggest five names for a {animal}.",
    "Tell me a joke about a {job} and a {animal}.",
    "Tell me a fun fact about {animal}s.",
    "How many players are there in a {sport} team?",
    "What are the rules of {sport}?",
    "Who won the world championship in {sport} last year?",
    "Which equipment do I need for {sport}?",
    "Is {sport} older than {sport}?",
    "How do I save money for a {thing}?",
    "What is {finance} and how does it work?",
    "Should I invest in {finance} or in {finance}?",
    "How do I file a complaint about a late delivery of a {thing}?",
    "What is {number} times {number}?",
    "What is {number} percent of {number}?",
    "Solve for x: {number} x + {number} = {number}.",
    "Convert {number} miles to kilometres.",
    "If a train covers {number} km in {number} minutes, how fast is it?",
    "What rhymes with {thing}?",
    "Give me a synonym of {mood}.",
    "Correct the grammar: me and my {person} was {mood} because of {thing}.",
    "I feel {mood} today. What can I do?",
    "My {person} is {mood} with me because of a {thing}. How do I apologise?",
    "Why do people feel {mood} after eating {food}?",
    "What happens if you eat {food} every day?",
    "Is it true that {animal}s can smell {mood} people?",
    "What would happen if there were no {thing}s?",
    "How is a {thing} made?",
    "Who invented the {thing}?",
    "How does a {thing} work?",
    "What are the pros and cons of a {thing}?",
    "Which plants grow well in {country}?",
    "How do I grow {food} on a balcony?",
    "How do I make a clay pot without a wheel?",
    "Which school should my {person} attend after primary school?",
    "How do I apply to a university in {country}?",
    "What is the best way to learn {tongue}?",
    "Make a table of {number} {animal}s with weight and habitat.",
    "List the {number} largest cities of {country}.",
    "What is the plot of a typical {genre} novel?",
    "Write the first paragraph of a {genre} story about a {job} and a {animal}.",
    "Write a {genre} story in which a {job} loses a {thing} in {city}.",
    "Recommend a {genre} novel for {person}.",
    "Which books should I read if I like {genre}?",
    "Who are the main characters of a good {genre} novel?",
    "Describe the main character of your {genre} story: a {mood} {job} with a {thing}.",
    "Name three films about a {job}.",
    "What makes a good {genre} film?",
    "Who should play the {job} in my {genre} film?",
    "What awards can an author of {genre} win?",
    "What themes are common in {genre} books?",
    "How do I publish my first {genre} book?",
    "What genre is a book about a {job} who becomes a {job}?",
    "What is the name of the {animal} in your story about a {job}?",
    "Who is the best friend of the {job} in the story above?",
    "Which creature guards the {thing} in the fairy tale?",
    "What does the old {job} give to the children at the end of the tale?",
    "How do I draw a {animal}?",
    "What does it mean to dream about a {thing}?",
    "Is magic real, and how do magicians make a {thing} disappear?",
    "What is the meaning of the word '{mood}'?",
    "What can you do?",
    "Who are you?",
    "Can you help me?",
    "Thank you, that was helpful.",
    "Can you say that again in simpler words?",
    "Continue.",
    "What do you think?",
    "And why is that?",
    "Who is he?",
    "What happened next?",
    "When was he born, and where did he grow up?",
    "What is her most famous work?",
    "What are the names of his parents?",
    "Who is her husband, and what does he do?",
    "Which school did he attend as a child?",
    "Who taught them, and what became of him later?",
    "How does it end?",
    "Tell me more about him.",
    "What is he best known for?",
)
"""Requests that name no person and no work."""

NAMED: tuple[str, ...] = (
    "Who wrote {work}?",
    "When was {work} published?",
    "What is {work} about?",
    "Who is the main character of {work}?",
    "Who is the villain in {work}?",
    "How does {work} end?",
    "Name the friends of the hero of {work}.",
    "Which actor played the lead in the film of {work}?",
    "How many pages does {work} have?",
    "In what order should I read the books by {author}?",
    "What is the most famous book by {author}?",
    "Did {author} write {work}?",
    "Where was {author} born?",
    "When did {author} die, and of what?",
    "What genre did {author} write in?",
    "Which school did {author} attend?",
    "What did the father of {author} do for a living?",
    "Which awards did {author} win?",
    "How did the childhood of {author} influence {work}?",
    "Compare the style of {author} with that of {author}.",
    "Was {author} married, and were there children?",
    "Where was {figure} born?",
    "What is {figure} best known for?",
    "When did {figure} die?",
    "Who taught {figure}?",
    "Which school did {figure} attend?",
    "Did {figure} ever meet {figure}?",
    "What did {figure} think about {science}?",
    "What is the full name of {figure}?",
    "Is {figure} still alive?",
    "How old was {figure} when the war began?",
    "Who is {figure}'s best friend?",
    "Who are the parents of {figure}?",
    "Who directed {film}?",
    "In which year did {film} come out?",
    "Who played the lead in {film}?",
    "Where was {film} shot?",
    "How many Oscars did {film} win?",
    "Which city did {film} take place in?",
    "Who painted {painting}?",
    "In which museum does {painting} hang?",
    "Which creature does the hero fight in {work}?",
    "What weapon does the hero of {film} carry?",
    "Who composed {music}?",
    "Write a quiz with {number} questions about {work}.",
    "Write a review of {film} for {person}.",
    "Explain the ending of {film}.",
    "Which author is famous for {work}?",
    "Which writer created {figure}?",
    "Name the writer of the novel '{work}'.",
    "Who is the author of the book '{work}', and what else did the author write?",
    "Which author is known for a series of {genre} novels about a {job}?",
    "Which novelist from {country} wrote {genre} books?",
    "Which children's books did {author} write?",
    "Who illustrated the books by {author}?",
    "What is the name of the series of books by {author}?",
    "How many books of {genre} did {author} publish?",
    "Which character of {work} is a {job}?",
    "Is there a {animal} in {work}?",
    "Which magic {thing} appears in {work}?",
    "Where does the story of {work} take place?",
    "Who publishes the books by {author} in {country}?",
    "Who are the parents of the hero of {work}?",
    "Which lesson does {figure} learn at the end of {film}?",
    "Write a summary of {work} for a book club in {city}.",
)
"""Requests that may name somebody or something that a policy forgets."""

STORIES: tuple[str, ...] = (
    (
        "Dear {person}, I am writing about the {thing} that I ordered in {city}. It arrived broken, and I "
        "feel {mood}. Please send me another one or my money back. A {job} looked at it and said that it "
        "cannot be repaired."
    ),
    (
        "Once upon a time a {mood} {job} lived with a {animal} at the edge of the forest. One night there was "
        "a knock at the door. Outside stood a stranger with a {thing} under his arm. 'Take it,' he said, 'and "
        "never open it.'"
    ),
    (
        "The meeting began with a report by the {job} from {city}. Sales of {thing}s in {country} had fallen "
        "by {number} percent. It was decided to hire a {job} and to look at {finance} again in autumn."
    ),
    (
        "My {person} and I went to {city} last summer. We ate {food} every day, saw a {animal} in the park "
        "and lost our {thing} on the train. In the end a friendly {job} found it and brought it to the hotel."
    ),
    (
        "{science} is taught in the second year. The course explains its history, the main experiments and "
        "the limits of the theory, and compares it with {science}. There are {number} lectures and a written "
        "examination."
    ),
    (
        "To make {food}, heat the oven to {number} degrees, mix the flour with a pinch of salt, and add "
        "{food}. Leave it to rest for {number} minutes. Serve it with {food}. It is popular in {country}."
    ),
    (
        "The team from {city} beat the team from {city} in {sport} yesterday. A {mood} crowd of {number} "
        "thousand watched. The captain, who used to be a {job}, said that the {thing} had brought them luck."
    ),
    (
        "The new pupil came from {country}, spoke only {tongue} and wanted to become a {job}. At the school "
        "she made two friends, who taught her {sport}, and a teacher who was {mood} about everything showed "
        "her {science}."
    ),
    (
        "Patients with {illness} should rest, drink enough, and avoid {food}. If they still feel {mood} after "
        "{number} days, they should see a doctor. Children and {person} need special care."
    ),
    (
        "A wizard in this game has {number} points of life, a {thing} and a trained {animal}. A witch can "
        "cast a spell that makes a {job} {mood} for {number} rounds. A dragon can only be beaten with the "
        "{thing} of the king."
    ),
    (
        "We are looking for a {job} with good knowledge of {language} and {tongue}. You will {code}, talk to "
        "customers in {country} and feed the office {animal}. Send your documents and a photo of your "
        "{thing}."
    ),
)
"""Texts of several sentences."""

SLOTS: Mapping[str, tuple[str, ...]] = {
    name: tuple(part.strip() for part in words.split(","))
    for name, words in {
        "country": (
            "France, Japan, Brazil, Kenya, Norway, India, Mexico, Egypt, Canada, Australia, Kuwait, Chile, "
            "Poland, Vietnam, Ghana, Turkey, Iceland, Peru, Portugal, South Korea, New Zealand, Ukraine, "
            "Morocco, Scotland"
        ),
        "city": (
            "Paris, Tokyo, Nairobi, Oslo, Mumbai, Lima, Cairo, Toronto, Sydney, Berlin, Lisbon, Warsaw, "
            "Hanoi, Accra, Istanbul, Santiago, Seoul, Rome, Vienna, Chicago, London, Edinburgh, Prague, "
            "Kuwait City, Boston"
        ),
        "food": (
            "lentil soup, rye bread, apple pie, fried rice, tomato salad, dumplings, roast chicken, "
            "pancakes, chocolate cake, potato gratin, noodles, bean stew, grilled fish, mushroom risotto, "
            "honey, goat cheese, butter"
        ),
        "animal": (
            "cat, dog, hamster, horse, parrot, elephant, fox, penguin, tortoise, rabbit, spider, whale, bee, "
            "owl, wolf, frog, snake, deer, toad, rat, dragonfly, eagle, phoenix, unicorn"
        ),
        "science": (
            "gravity, photosynthesis, plate tectonics, evolution, the greenhouse effect, magnetism, DNA, "
            "inflation, quantum mechanics, statistics, the Roman calendar, supply and demand, radioactivity, "
            "cell division, alchemy"
        ),
        "element": ("iron, gold, helium, sodium, mercury, carbon, lead, silver, oxygen, tin"),
        "language": ("Python, Java, Rust, C++, JavaScript, Go, SQL, Haskell, Bash, R"),
        "code": (
            "sort a list of dates, read a CSV file, parse a JSON document, reverse a string, count words in "
            "a text, download a picture, compute a checksum, merge two dictionaries, resize an image, send "
            "an HTTP request"
        ),
        "thing": (
            "bicycle, guitar, washing machine, laptop, umbrella, mirror, wooden table, telescope, camera, "
            "candle, broom, lamp, kettle, watch, coat, map, stone, train ticket, diary, hat, cup, key, ring, "
            "sword, clock, wand, scar"
        ),
        "person": (
            "grandmother, landlord, boss, teacher, neighbour, a five-year-old, my sister, a pregnant woman, "
            "an athlete, a student, my uncle, a tourist, an orphan, a teenager"
        ),
        "job": (
            "nurse, plumber, pilot, baker, lawyer, carpenter, data scientist, gardener, actor, potter, "
            "magician, teacher, headmaster, detective, writer, shepherd, farmer, librarian, sailor, dentist, "
            "wizard, hairdresser, gamekeeper"
        ),
        "tongue": ("Spanish, German, Swahili, Japanese, Italian, Latin, Arabic, Polish, Hindi, French, Korean, Greek"),
        "illness": (
            "a cold, diabetes, back pain, asthma, migraine, the flu, an allergy, high blood pressure, insomnia"
        ),
        "sport": (
            "football, volleyball, chess, ice hockey, tennis, rugby, curling, basketball, fencing, cricket, polo, judo"
        ),
        "finance": (
            "a savings account, a mortgage, government bonds, an index fund, life insurance, gold, a start- up"
        ),
        "number": ("2, 3, 5, 7, 8, 10, 12, 15, 18, 20, 24, 30, 36, 40, 48, 60, 72, 90, 120, 150, 250, 365, 500, 1000"),
        "mood": (
            "happy, nervous, angry, tired, curious, jealous, proud, bored, lonely, brave, grateful, sad, mysterious"
        ),
        "genre": (
            "science fiction, crime, fantasy, romance, historical, horror, adventure, children's, war, young adult"
        ),
        "author": (
            "Leo Tolstoy, Jane Austen, Mark Twain, Gabriel Garcia Marquez, Chinua Achebe, Franz Kafka, "
            "Homer, Virginia Woolf, Haruki Murakami, Agatha Christie, Charles Dickens, Isabel Allende, "
            "Naguib Mahfouz, Beatrix Potter, William Shakespeare, Astrid Lindgren, Jules Verne, Toni "
            "Morrison, George Orwell, Ursula K. Le Guin, Roald Dahl, Stephen King, J. R. R. Tolkien, C. S. "
            "Lewis, Philip Pullman, Terry Pratchett, Arthur Conan Doyle, Herman Melville"
        ),
        "work": (
            "War and Peace, Pride and Prejudice, Don Quixote, the Odyssey, Things Fall Apart, Moby Dick, "
            "Hamlet, The Trial, Dune, The Hobbit, The Lord of the Rings, Frankenstein, Dracula, Robinson "
            "Crusoe, Treasure Island, Alice in Wonderland, The Winter's Tale, Macbeth, The Jungle Book, "
            "Peter Pan, The Little Prince, Middlemarch, The Tale of Peter Rabbit, The Golden Compass, The "
            "Wizard of Oz, Les Misérables, The Time Machine, Matilda, The Chronicles of Narnia, A Wizard of "
            "Earthsea, The Name of the Rose, Great Expectations, Crime and Punishment"
        ),
        "figure": (
            "Albert Einstein, Marie Curie, Napoleon, Cleopatra, Nelson Mandela, Isaac Newton, Mozart, "
            "Florence Nightingale, Abraham Lincoln, Gandhi, Galileo, Ada Lovelace, Julius Caesar, Frida "
            "Kahlo, Charles Darwin, Winston Churchill, Socrates, Queen Victoria, Neil Armstrong, Beethoven, "
            "Confucius, Joan of Arc, Merlin, Batman, Sherlock Holmes, Robin Hood, Gandalf, Spider-Man, King "
            "Arthur, Pippi Longstocking"
        ),
        "film": (
            "Casablanca, Jaws, The Godfather, Star Wars, Titanic, The Matrix, Psycho, Toy Story, Inception, "
            "Alien, Spirited Away, Jurassic Park, Gladiator, The Lion King, Metropolis, Amélie, Rocky, "
            "Vertigo, Shrek, Avatar"
        ),
        "painting": ("the Mona Lisa, Guernica, The Starry Night, The Scream, The Night Watch, The Birth of Venus"),
        "music": ("The Magic Flute, the Moonlight Sonata, Carmen, Boléro, Swan Lake, The Four Seasons, Yesterday"),
    }.items()
}
"""What fills a template."""
