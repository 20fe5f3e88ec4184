"""The word lists from which the demo's people are made. None of them is a register of anybody.

E-mail hosts and telephone ranges are the ones that standards reserve for documentation and drama: RFC 2606 for names,
Ofcom's list of numbers for use in drama for the United Kingdom.
"""


def _listed(text: str, *, separator: str = " ") -> tuple[str, ...]:
    return tuple(text.split(separator))


GIVEN_NAMES = _listed(
    "Abelia Adravan Aksel Alwena Ambra Andros Anneke Ardith Aurin Balint Bastien Bellis Berwyn Brisa Calder Calista "
    "Carys Casimir Cedany Corvin Dagny Delphia Dorian Edda Eluned Emeric Enora Eskil Evander Faelan Fenna Florin "
    "Galen Ginevra Greer Halvard Hedda Hesper Idris Ilario Imke Isaura Ivo Jarek Jessamy Jorun Kaspar Kerensa Kirsa "
    "Lazlo Leocadia Linnea Lorcan Ludmila Maelis Marius Merit Mira Nerys Nikolai Noemi Odalys Olwen Orsolya Osric "
    "Pascoe Petra Philippa Quillan Ragna Renske Rhian Roderic Rosalba Saskia Selwyn Severin Sidonie Sorrel Tamsin "
    "Tavish Thora Tiernan Torben Ulrika Vadim Valeska Verena Viggo Wenna Wilmar Xanthe Ysolde Yvain Zdenka Zephyr"
)

SURNAMES = _listed(
    "Abbotsway Alderfen Ambrosk Arrowood Ashgrave Balmoor Barrowin Beckendahl Birchall Blackmere Bramwick Brightwell "
    "Calloway Carrasko Castellmar Clearwater Coldstream Corbray Dahlgaard Darrowby Delacour Dovecote Drummel Dunmore "
    "Eastlake Eldersund Ellingham Everdale Fairbourne Falkenrath Farthing Fenwright Fjellstad Foxglove Galbrand "
    "Garrick Glenhollow Goldacre Grantham Greyling Hallorsen Harrowgate Hawksley Hazelden Heatherly Holmquist "
    "Inglenook Ironside Islemark Jesperson Juniper Kallender Kestrel Kingsmead Kirkwall Lambourne Larkspur Lindqvist "
    "Lockridge Longmire Maplewood Marchetti Merriden Millbrook Moorcroft Nethercote Nightingale Norrland Oakhurst "
    "Orchard Ostrander Pemberley Penhallow Pinecroft Quarrington Quickfall Ravenscar Redfern Rosewarne Rutherglen "
    "Saltmarsh Silverton Solberg Starling Stonebridge Summerlin Tanglewood Thistlewood Torvald Underhill Vanterpool "
    "Wainwright Westerdal Whitlock Winterbourne Yarrow"
)

TOWNS = _listed(
    "Ashfirth Bellhaven Brackwater Candlewick Copperdale Dunharrow Eastmarsh Elmsreach Fallowmere Fernhollow Gannetsby "
    "Glassport Greywater Hartsend Heronfield Ironquay Kettlebridge Lanternford Larchmont Mossgate Netherby Oldcastle "
    "Otterburn Pebblecove Quarryhill Rookwood Saltreach Silverlea Stagshaw Tidewell Thornby Ulverton Wexcombe Windleham"
)

STREETS = _listed(
    "Anchor Bakery Beacon Bellfounder Birch Bridge Brook Canal Cherry Chapel Clover Coppice Ferry Fountain Garden "
    "Granary Harbour Hazel Juniper Lantern Linden Market Meadow Mill Orchard Poplar Quarry Ropewalk Saddler "
    "Schoolhouse Station Tannery Tollgate Weaver Willow Windmill"
)

ROADS = ("Street", "Lane", "Road", "Row", "Terrace", "Square")

PROFESSIONS = _listed(
    "baker beekeeper botanist brewer carpenter cartographer cellist chemist clockmaker dentist "
    "florist gardener geologist glassblower goldsmith judge librarian locksmith midwife "
    "notary nurse pharmacist photographer plumber potter printer sailmaker sculptor surveyor "
    "tailor translator veterinarian violinist weaver welder"
)

EMPLOYERS = _listed(
    "Amberline Atlas Bluebell Brassworks Candela Cobalt Crosswind Dovetail Eventide Fathom Firebrick Foundry Gantry "
    "Halyard Highmark Kingfisher Lodestar Marigold Meridian Northlight Oakbridge Paragon Pinnacle Quartz Redwood "
    "Sandpiper Skylark Sterling Summit Tidemark Trellis Upland Vantage Wavecrest Whetstone Zenith"
)

KINDS_OF_EMPLOYER = ("Works", "House", "and Sons", "Clinic", "Institute", "Workshop", "Trust", "Group")

HOBBIES = _listed(
    "archery, astronomy, bell ringing, birdwatching, bookbinding, calligraphy, canoeing, cheese making, chess, "
    "climbing, crosswords, dominoes, embroidery, falconry, fencing, fishing, folk dancing, gliding, juggling, kite "
    "flying, knitting, lace making, map collecting, model railways, mosaics, mushroom hunting, origami, puppetry, "
    "rowing, skating, tango, topiary, whittling, yoga",
    separator=", ",
)

ANIMALS = ("cat", "dog", "parrot", "tortoise", "rabbit", "pony", "ferret", "goose")

PET_NAMES = _listed(
    "Acorn Biscuit Bramble Button Caramel Clementine Cinder Dumpling Fennel Figaro Ginger Gizmo Hazelnut Jigsaw Kipper "
    "Lentil Marble Mango Muffin Nutmeg Olive Pepper Pickle Pudding Quaver Radish Rascal Saffron Sesame Thimble Truffle "
    "Turnip Waffle Walnut"
)

MAIL_HOSTS = _listed(
    "birchmail.example, cloudpost.test, example.com, example.net, example.org, harbour.example, inkwell.test, "
    "letterbox.example, mail.example.org, pigeon.test, post.example.net, quill.example, satchel.test, "
    "stamp.example.com, telegraph.example, willow.test",
    separator=", ",
)

# The last three digits are free in each range.
PHONE_RANGES = _listed(
    "+44 113 496 0, +44 114 496 0, +44 115 496 0, +44 116 496 0, +44 117 496 0, +44 118 496 0, +44 121 496 0, +44 "
    "131 496 0, +44 141 496 0, +44 151 496 0, +44 161 496 0, +44 191 498 0, +44 20 7946 0, +44 29 2018 0, +44 1632 "
    "960, +44 7700 900",
    separator=", ",
)

MONTHS = _listed("January February March April May June July August September October November December")
