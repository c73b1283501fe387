"""Names of general knowledge that augmentation mixes into closed-class slots.

A thousand or so utterances cannot show every country or cuisine; these lists,
written for this project, let the small model tell a country from a city.
"""


def names(text):
    return [name.strip() for name in text.replace("\n", " ").split(",") if name.strip()]


COUNTRIES = names("""
Afghanistan, Albania, Algeria, American Samoa, Andorra, Angola, Anguilla, Antarctica,
Antigua and Barbuda, Argentina, Armenia, Aruba, Australia, Austria, Azerbaijan, Bahamas,
Bahrain, Bangladesh, Barbados, Belarus, Belgium, Belize, Benin, Bermuda, Bhutan, Bolivia,
Bosnia and Herzegovina, Botswana, Bouvet Island, Brazil, British Indian Ocean Territory,
British Virgin Islands, Brunei, Brunei Darussalam, Bulgaria, Burkina Faso, Burma, Burundi,
Cambodia, Cameroon, Canada, Cape Verde, Cabo Verde, Cayman Islands, Central African Republic,
Chad, Chile, China, Christmas Island, Cocos Islands, Colombia, Comoros, Congo, Cook Islands,
Costa Rica, Croatia, Cuba, Curaçao, Cyprus, Czech Republic, Czechia, Côte d'Ivoire, Denmark,
Djibouti, Dominica, Dominican Republic, East Timor, Ecuador, Egypt, El Salvador, England,
Equatorial Guinea, Eritrea, Estonia, Ethiopia, Falkland Islands, Faroe Islands, Fiji, Finland,
France, French Guiana, French Polynesia, French Southern Territories, Gabon, Gambia, Georgia,
Germany, Ghana, Gibraltar, Great Britain, Greece, Greenland, Grenada, Guadeloupe, Guam,
Guatemala, Guernsey, Guinea, Guinea-Bissau, Guyana, Haiti, Heard Island and McDonald Islands,
Honduras, Hong Kong, Hungary, Iceland, India, Indonesia, Iran, Iraq, Ireland, Isle of Man,
Israel, Italy, Ivory Coast, Jamaica, Japan, Jersey, Jordan, Kazakhstan, Kenya, Kiribati, Kosovo,
Kuwait, Kyrgyzstan, Laos, Latvia, Lebanon, Lesotho, Liberia, Libya, Liechtenstein, Lithuania,
Luxembourg, Macao, Macedonia, Madagascar, Malawi, Malaysia, Maldives, Mali, Malta,
Marshall Islands, Martinique, Mauritania, Mauritius, Mayotte, Mexico, Micronesia, Moldova,
Monaco, Mongolia, Montenegro, Montserrat, Morocco, Mozambique, Myanmar, Namibia, Nauru, Nepal,
Netherlands, Netherlands Antilles, New Caledonia, New Zealand, Nicaragua, Niger, Nigeria, Niue,
Norfolk Island, North Korea, Northern Ireland, Northern Mariana Islands, Norway, Oman, Pakistan,
Palau, Palestine, Panama, Papua New Guinea, Paraguay, Peru, Philippines, Pitcairn, Poland,
Portugal, Puerto Rico, Qatar, Romania, Russia, Rwanda, Réunion, Saint Barthélemy, Saint Helena,
Saint Kitts and Nevis, Saint Lucia, Saint Martin, Saint Pierre and Miquelon,
Saint Vincent and the Grenadines, Samoa, San Marino, Sao Tome and Principe, Saudi Arabia,
Scotland, Senegal, Serbia, Seychelles, Sierra Leone, Singapore, Sint Maarten, Slovakia,
Slovenia, Solomon Islands, Somalia, South Africa, South Georgia, South Korea, South Sudan,
Spain, Sri Lanka, Sudan, Suriname, Svalbard and Jan Mayen, Swaziland, Eswatini, Sweden,
Switzerland, Syria, Taiwan, Tajikistan, Tanzania, Thailand, Timor-Leste, Togo, Tokelau, Tonga,
Trinidad and Tobago, Tunisia, Turkey, Turkmenistan, Turks and Caicos Islands, Tuvalu, US, USA,
Uganda, Ukraine, United Arab Emirates, United Kingdom, UK, United States,
United States of America, Uruguay, Uzbekistan, Vanuatu, Vatican, Venezuela, Vietnam,
Virgin Islands, Wales, Wallis and Futuna, Western Sahara, Yemen, Zambia, Zimbabwe, Åland
""")

STATES = names("""
Alabama, Alaska, Arizona, Arkansas, California, Colorado, Connecticut, Delaware, Florida,
Georgia, Hawaii, Idaho, Illinois, Indiana, Iowa, Kansas, Kentucky, Louisiana, Maine, Maryland,
Massachusetts, Michigan, Minnesota, Mississippi, Missouri, Montana, Nebraska, Nevada,
New Hampshire, New Jersey, New Mexico, New York, North Carolina, North Dakota, Ohio, Oklahoma,
Oregon, Pennsylvania, Rhode Island, South Carolina, South Dakota, Tennessee, Texas, Utah,
Vermont, Virginia, Washington, West Virginia, Wisconsin, Wyoming, District of Columbia,
AL, AK, AZ, AR, CA, CO, CT, DE, FL, GA, HI, ID, IL, IN, IA, KS, KY, LA, ME, MD, MA, MI, MN, MS,
MO, MT, NE, NV, NH, NJ, NM, NY, NC, ND, OH, OK, OR, PA, RI, SC, SD, TN, TX, UT, VT, VA, WA, WV,
WI, WY, DC, GU, PR, VI, AS, MP, FM, MH, PW
""")

CITIES = names("""
Oslo, Bergen, Stockholm, Gothenburg, Copenhagen, Helsinki, Reykjavik, London, Manchester,
Edinburgh, Glasgow, Dublin, Cardiff, Paris, Lyon, Marseille, Bordeaux, Berlin, Munich, Hamburg,
Cologne, Vienna, Zurich, Geneva, Rome, Milan, Naples, Venice, Florence, Madrid, Barcelona,
Seville, Lisbon, Porto, Athens, Istanbul, Ankara, Moscow, Kyiv, Warsaw, Krakow, Prague,
Budapest, Bucharest, Sofia, Belgrade, Zagreb, Tokyo, Osaka, Kyoto, Seoul, Busan, Beijing,
Shanghai, Shenzhen, Taipei, Bangkok, Hanoi, Manila, Jakarta, Kuala Lumpur, Mumbai, Delhi,
Bangalore, Chennai, Kolkata, Karachi, Lahore, Dhaka, Kathmandu, Colombo, Dubai, Doha, Riyadh,
Tehran, Baghdad, Beirut, Jerusalem, Tel Aviv, Cairo, Tunis, Algiers, Casablanca, Lagos, Accra,
Nairobi, Addis Ababa, Kampala, Johannesburg, Cape Town, Sydney, Melbourne, Brisbane, Perth,
Auckland, Wellington, Toronto, Montreal, Vancouver, Ottawa, Calgary, Mexico City, Guadalajara,
Havana, Bogota, Lima, Quito, Santiago, Buenos Aires, Montevideo, Rio de Janeiro, Sao Paulo,
Boston, Chicago, Los Angeles, San Francisco, San Diego, San Jose, Seattle, Portland, Denver,
Dallas, Houston, Austin, San Antonio, Phoenix, Tucson, Las Vegas, Salt Lake City, Minneapolis,
Milwaukee, Detroit, Cleveland, Columbus, Cincinnati, Pittsburgh, Philadelphia, Baltimore,
Atlanta, Miami, Orlando, Tampa, Jacksonville, Nashville, Memphis, New Orleans, St. Louis,
Kansas City, Omaha, Boise, Albuquerque, El Paso, Oklahoma City, Tulsa, Little Rock, Charlotte,
Raleigh, Richmond, Newark, Buffalo, Rochester, Albany, Hartford, Providence, Brooklyn, Anchorage,
Honolulu, Springfield, Fairview, Clinton, Greenville, Franklin, Salem, Madison, Georgetown,
Arlington, Ashland, Dover, Oxford, Jackson, Burlington, Milton, Newport, Auburn, Centerville,
Clayton, Dayton, Lexington, Milford, Winchester, Cleveland Heights, Lake Forest, Cedar Rapids,
Fort Wayne, Fort Worth, Santa Fe, Santa Cruz, Palm Springs, Grand Rapids, Green Bay, Sioux Falls
""")

CUISINES = names("""
italian, french, chinese, japanese, thai, indian, mexican, greek, turkish, lebanese, spanish,
portuguese, german, polish, russian, ukrainian, hungarian, romanian, korean, vietnamese,
cambodian, indonesian, malaysian, filipino, burmese, nepalese, pakistani, bangladeshi,
sri lankan, afghan, persian, iranian, iraqi, syrian, israeli, jewish, kosher, halal, egyptian,
moroccan, tunisian, ethiopian, eritrean, nigerian, ghanaian, senegalese, south african, cuban,
jamaican, haitian, dominican, puerto rican, caribbean, brazilian, argentinian, peruvian,
chilean, colombian, venezuelan, ecuadorian, bolivian, american, southern, cajun, creole, soul,
tex mex, californian, hawaiian, polynesian, australian, british, english, irish, scottish,
swiss, austrian, dutch, belgian, danish, swedish, norwegian, finnish, czech, bulgarian, serbian,
croatian, albanian, armenian, georgian, uzbek, mongolian, tibetan, taiwanese, cantonese,
szechuan, mediterranean, middle eastern, european, asian, african, latin american, fusion,
vegetarian, vegan, seafood, barbecue, gluten free, fast food, modern european, north indian
""")

DISHES = names("""
pizza, pasta, lasagna, risotto, gnocchi, ravioli, tiramisu, sushi, ramen, udon, tempura,
teriyaki, dim sum, dumplings, fried rice, chow mein, peking duck, pad thai, green curry,
tom yum, pho, banh mi, bibimbap, kimchi, bulgogi, curry, biryani, samosa, naan, tandoori chicken,
butter chicken, dal, kebab, falafel, hummus, shawarma, tabbouleh, baklava, gyros, moussaka,
souvlaki, tacos, burritos, enchiladas, quesadilla, tamales, guacamole, nachos, ceviche, empanadas,
paella, tapas, churros, bouillabaisse, crepes, croissant, quiche, ratatouille, escargot, foie gras,
fondue, raclette, schnitzel, bratwurst, sauerkraut, goulash, pierogi, borscht, stroganoff,
meatballs, smoked salmon, fish and chips, shepherd's pie, haggis, steak, burgers, cheeseburger,
hot dog, french fries, fried chicken, chicken wings, pulled pork, ribs, brisket, mac and cheese,
clam chowder, lobster, crab cakes, oysters, shrimp, gumbo, jambalaya, grits, cornbread, waffles,
pancakes, omelette, bagel, salad, soup, sandwich, tuna, salmon, lamb, duck, cheesecake, ice cream
""")

GENRES = names("""
jazz, blues, rock, pop, soul, funk, disco, house, techno, trance, dubstep, ambient, electronica,
classical, baroque, opera, folk, country, bluegrass, gospel, reggae, ska, dancehall, hip hop, rap,
trap, grunge, punk, punk rock, metal, heavy metal, death metal, hard rock, indie, indie rock,
alternative, new wave, synthpop, salsa, samba, bossa nova, tango, flamenco, reggaeton, merengue,
bachata, cumbia, afrobeat, swing, big band, bebop, rhythm and blues, r&b, motown, latin, celtic,
acapella, world music, lo-fi, chillout, new age, soundtrack, industrial, psychedelic, drum and bass
""")

KNOWN_NAMES = {
    "city": CITIES,
    "country": COUNTRIES,
    "cuisine": CUISINES,
    "genre": GENRES,
    "served_dish": DISHES,
    "state": STATES,
}
